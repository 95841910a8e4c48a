"""Photos on disk: catalog, quality checks, split, dataset, download."""
