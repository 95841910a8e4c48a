"""Sort garbage by sight: say what a photo of waste is made of.

from binsight import Classifier

answer = Classifier().classify("photo.jpg")
answer.label, answer.confidence, answer.sure
"""

from .bins import Bins, Decision, load_bins
from .errors import (
    BinsError,
    BinsightError,
    BundleError,
    ImageError,
    TeachingError,
    UsageError,
    WorseModelError,
)
from .runtime import Classifier, Prediction

__all__ = [
    "Bins",
    "BinsError",
    "BinsightError",
    "BundleError",
    "Classifier",
    "Decision",
    "ImageError",
    "Prediction",
    "TeachingError",
    "UsageError",
    "WorseModelError",
    "__version__",
    "load_bins",
]

__version__ = "0.1.0"
