"""Training: a recipe (config), the Lightning module, and the run folder."""
