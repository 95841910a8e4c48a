"""From a run to something that answers: the bundle, with parity on real images."""
