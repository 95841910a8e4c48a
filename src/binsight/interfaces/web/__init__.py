"""A static site that classifies in the browser; ``web/`` holds the sources of its page."""
