"""The bundles that come along with the package, by name."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from binsight.errors import NotABundleError

__all__ = ["BUILTIN", "builtin_model", "bundle_path", "is_bundle"]

BUILTIN = ("accurate", "small")  # the first one answers where none is named


def builtin_model(name: str | None = None) -> Path:
    """A bundle that comes along: the first one, or that of a name.

    Raises:
        NotABundleError: there is none of this name, or its file is missing.
    """
    name = name or BUILTIN[0]
    if name not in BUILTIN:
        raise NotABundleError(f"no built-in model {name!r}; there are: {', '.join(BUILTIN)}")
    path = Path(str(resources.files("binsight") / "models" / f"{name}.onnx"))
    if not path.is_file():
        raise NotABundleError(
            f"the built-in model is missing ({path}); install binsight again, or give a bundle of "
            "your own"
        )
    return path


def bundle_path(model: str | os.PathLike[str] | None) -> Path:
    """The file that a user means.

    Args:
        model: name of a built-in bundle, which wins over a file of that name (``./small`` is the
            file), or a path; a `Path` is never a name. ``None`` is the first built-in one.

    Raises:
        NotABundleError: no such file, and no such name; or a built-in bundle is missing.
    """
    if model is None:
        return builtin_model()
    if isinstance(model, str) and model in BUILTIN:
        return builtin_model(model)
    path = Path(model)
    if not path.exists() and path.name == str(model) and not path.suffix:
        raise NotABundleError(
            f"{path}: no such file, and no built-in model of that name; built in: "
            f"{', '.join(BUILTIN)}"
        )
    return path


def is_bundle(given: str) -> bool:
    """Whether a bundle is meant where a run's folder may be: by its file, or a built-in name."""
    return given in BUILTIN or not Path(given).is_dir()
