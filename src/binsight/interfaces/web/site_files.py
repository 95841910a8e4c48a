"""Write the static site: the built page, the bundle, its description, the bins, the runtime."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path

from binsight.errors import NotABundleError, UsageError
from binsight.runtime import Classifier

from .described import bins_for, bundle_name, describe_model
from .wasm import FILE_NAME

__all__ = ["MARK", "check_out", "write_site"]

MARK = "model.json"  # a folder with this file and `WORKER` is a site of ours
WORKER = "sw.js"
LEFT_OUT = {"built-from.txt"}  # for who builds the page, not for who sees it


def write_site(
    out: Path, classifier: Classifier, *, bins: str | None = None, wasm: Path
) -> list[Path]:
    """Write a whole site, or nothing.

    Args:
        out: a folder that does not exist, is empty, or holds an earlier site and nothing else; that
            is replaced.
        classifier: whose bundle the page runs.
        bins: a scheme's name or a TOML file; all built-in schemes that fit if not given.
        wasm: ONNX Runtime's WebAssembly (`wasm.fetch_wasm`).

    Returns:
        The files, below ``out``.

    Raises:
        UsageError: something else is in the way, or ``out`` cannot be written.
        BinsError: see `bins_for`.
    """
    check_out(out)
    out = out.resolve()  # a folder such as "." has no name to put another beside
    offered = bins_for(classifier.classes, bins)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            new = Path(temporary) / "site"
            _copy_page(new)
            shutil.copyfile(classifier.path, new / bundle_name(classifier))
            shutil.copyfile(wasm, new / FILE_NAME)
            _write_json(new / MARK, describe_model(classifier))
            _write_json(new / "bins.json", offered)
            _list_files(new)
            _replace(out, new, Path(temporary) / "old")
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror or error})") from error
    return sorted(out.iterdir())


def check_out(out: Path) -> None:
    """Refuse a folder that holds anything but a site.

    Raises:
        UsageError: with what to do instead.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; choose a folder")
    if not out.is_dir():
        return
    ours = _files_of(out)
    others = sorted(path.name for path in out.iterdir() if path.name not in ours or path.is_dir())
    if others:
        raise UsageError(
            f"{out}: holds {others[0]}, which is no part of a site and would be gone; choose a new "
            "or an empty folder, and copy the site from there"
        )


def _files_of(site: Path) -> set[str]:
    """Names of a site's files, as its service worker lists them; none if it is no site."""
    try:
        worker = (site / WORKER).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return set()
    return {WORKER, *re.split(r"[\s\"'`]+", worker)} if (site / MARK).is_file() else set()


def _copy_page(new: Path) -> None:
    new.mkdir()
    page = resources.files(__package__) / "site"
    if not (page / "index.html").is_file():
        raise NotABundleError(f"the page is missing ({page}); install binsight again")
    for file in page.iterdir():
        if file.name not in LEFT_OUT:
            (new / file.name).write_bytes(file.read_bytes())


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8", newline="\n")


def _list_files(new: Path) -> None:
    """Tell the service worker what to keep; its text changes whenever any file does."""
    worker = new / WORKER
    text = worker.read_text(encoding="utf-8")
    files = sorted(path for path in new.iterdir() if path != worker)
    version = hashlib.sha256(text.encode())
    for path in files:
        version.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    names = ["./", *(path.name for path in files)]
    filled = text.replace("@VERSION@", version.hexdigest()[:16])
    filled = filled.replace("@FILES@", " ".join(names))
    worker.write_text(filled, encoding="utf-8", newline="\n")


def _replace(out: Path, new: Path, old: Path) -> None:
    """Put the new site in place; what was there goes with the temporary folder."""
    if out.exists():
        out.replace(old)
    try:
        new.replace(out)
    except OSError:
        if old.exists():
            old.replace(out)
        raise
