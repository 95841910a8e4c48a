"""Sort garbage by sight: say what a photo of waste is made of.

from binsight import Classifier

answer = Classifier().classify("photo.jpg")
answer.label, answer.confidence, answer.sure
"""

from .bins import Bins, Decision, load_bins
from .errors import BinsightError, BundleError, ImageError
from .runtime import Classifier, Prediction

__all__ = [
    "Bins",
    "BinsightError",
    "BundleError",
    "Classifier",
    "Decision",
    "ImageError",
    "Prediction",
    "__version__",
    "load_bins",
]

__version__ = "0.1.0"
