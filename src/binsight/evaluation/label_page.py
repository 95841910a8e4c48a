"""One page on which a person decides about doubted labels; it saves a CSV of corrections.

The page is a single file that fetches nothing: photos are small pictures inside it, and a few lines
of JavaScript write the CSV. Opened from a disk, it works.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import jinja2

from binsight.data.relabel import DROP, KEEP, LabelIssue
from binsight.files import write_text
from binsight.images import decode

__all__ = ["write_label_page"]

Progress = Callable[[int, int], None]
THUMBNAIL_PX = 200
QUALITY = 80


def write_label_page(
    file: Path,
    issues: Sequence[LabelIssue],
    *,
    classes: Sequence[str],
    photos_root: Path,
    most: int = 200,
    progress: Progress | None = None,
) -> None:
    """Write the page.

    Args:
        file: where to.
        issues: decided ones are not shown, but what the page saves holds them too.
        classes: that a person can choose from.
        photos_root: folder that the paths are relative to.
        most: photos to show, the first ones; the page says how many it leaves out.
        progress: called with (done, total) photos.

    Raises:
        ImageError: a photo became unreadable.
    """
    open_ones = [issue for issue in issues if not issue.decision]
    shown = open_ones[:most]
    pictures = []
    for done, issue in enumerate(shown, start=1):
        pictures.append(_thumbnail(photos_root / issue.path))
        if progress:
            progress(done, len(shown))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    folder = resources.files(__package__)
    script = folder.joinpath("label_page.js").read_text("utf-8")
    template = folder.joinpath("label_page.html.j2").read_text("utf-8")
    page = environment.from_string(template).render(
        shown=list(zip(shown, pictures, strict=True)),
        decided=[issue for issue in issues if issue.decision],
        left_out=len(open_ones) - len(shown),
        classes=classes,
        keep=KEEP,
        drop=DROP,
        script=script,
        script_sha256=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    write_text(file, page)


def _thumbnail(file: Path) -> str:
    photo = decode(file, min_side=THUMBNAIL_PX)
    photo.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    data = io.BytesIO()
    photo.save(data, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
