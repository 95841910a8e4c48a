"""Sort garbage by sight: say what a photo of waste is made of.

from binsight import Classifier

answer = Classifier().classify("photo.jpg")
answer.label, answer.confidence, answer.sure
"""

from .errors import BinsightError, BundleError, ImageError
from .runtime import Classifier, Prediction

__all__ = [
    "BinsightError",
    "BundleError",
    "Classifier",
    "ImageError",
    "Prediction",
    "__version__",
]

__version__ = "0.1.0"
