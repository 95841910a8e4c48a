"""From a run to something that answers: bundles and other formats, with parity on real images."""
