"""The command line: each command is a file, and imports what is heavy only when it runs."""

from .app import app, main

__all__ = ["app", "main"]
