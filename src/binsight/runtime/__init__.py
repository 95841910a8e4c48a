"""Answers from a bundle, through ONNX Runtime and nothing heavier."""

from .classifier import Classifier, builtin_model
from .prediction import Prediction

__all__ = ["Classifier", "Prediction", "builtin_model"]
