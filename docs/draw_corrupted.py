"""Draw `docs/corrupted.jpg`: an example picture under every corruption.

python docs/draw_corrupted.py
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from binsight.evaluation.corruption_figures import corrupted_photo
from binsight.files import replacing
from binsight.images import decode

HERE = Path(__file__).parent


def main() -> None:
    """Corrupt and draw."""
    figure = corrupted_photo(decode(HERE.parent / "examples" / "glass.jpg"), seed=1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    with replacing(HERE / "corrupted.jpg") as temporary, Image.open(buffer) as picture:
        picture.convert("RGB").save(temporary, "JPEG", quality=80)


if __name__ == "__main__":
    main()
