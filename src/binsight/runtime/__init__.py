"""Answers from a bundle, through ONNX Runtime and nothing heavier."""

from .builtin import BUILTIN, builtin_model, bundle_path, is_bundle
from .classifier import Classifier
from .prediction import Prediction

__all__ = ["BUILTIN", "Classifier", "Prediction", "builtin_model", "bundle_path", "is_bundle"]
