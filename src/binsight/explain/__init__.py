"""Where a model looked: maps of the places that speak for a class, drawn on the photo.

    from binsight import Classifier
    from binsight.explain import explain

    explanation = explain(Classifier(), "photo.jpg")
    explanation.label, explanation.region.words, explanation.region.box

`cam` makes maps of arrays, `explainers` of a bundle, and `torch_cam`, which alone needs torch, of a
training run. `region` says in words where the heat is, `overlay` and `gallery` draw it, and
`sanity` measures whether it means anything.
"""

from .explainers import BundleExplainer, Explainer, explain, explain_with
from .explanation import Explanation
from .region import Region

__all__ = ["BundleExplainer", "Explainer", "Explanation", "Region", "explain", "explain_with"]
