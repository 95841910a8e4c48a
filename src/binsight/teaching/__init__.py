"""Teaching: a new head on the embeddings of a bundle, in seconds and without torch."""

from .lesson import Lesson

__all__ = ["Lesson"]
