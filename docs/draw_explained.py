"""Draw `docs/explained.jpg`: where the built-in model looked in the example pictures.

python docs/draw_explained.py
"""

from __future__ import annotations

from pathlib import Path

from binsight import Classifier
from binsight.explain import BundleExplainer, explain_with
from binsight.explain.gallery import Gallery
from binsight.explain.overlay import overlay, write_picture
from binsight.images import decode

HERE = Path(__file__).parent


def main() -> None:
    """Explain and draw."""
    explainer = BundleExplainer(Classifier())
    gallery = Gallery("Where the built-in model looked")
    for photo in sorted((HERE.parent / "examples").glob("*.jpg")):
        explanation = explain_with(explainer, photo)
        picture = overlay(decode(photo), explanation)
        gallery.add(picture, explanation, photo.name, true=photo.stem)
    write_picture(HERE / "explained.jpg", gallery.draw())


if __name__ == "__main__":
    main()
