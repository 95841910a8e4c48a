"""What the class names of another data set mean to a model: a ``mapping.toml``.

    [classes]
    "tin" = "metal"
    "shoes" = "none"     # shows none of the model's classes
    "clothes" = "skip"   # leave these photos out

A name that the model knows needs no line. Which photos there are is `domains`' part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from binsight.bundle import class_name
from binsight.errors import MappingError
from binsight.files import read_toml

__all__ = ["ClassMap", "Special", "read_map"]

TABLE = "classes"


class Special(Enum):
    """What a name can mean besides a class."""

    NONE = "none"
    SKIP = "skip"


NONE, SKIP = Special.NONE.value, Special.SKIP.value


@dataclass(frozen=True)
class ClassMap:
    """Names of another data set to classes of a model, "none" or "skip".

    Args:
        means: name to class. A class of the model that is itself called "none" or "skip" goes
            before the special meaning.
        source: file that it was read from; ``None`` if there is none.
    """

    means: Mapping[str, str] = field(default_factory=dict)
    source: Path | None = None

    def resolved(self, names: Iterable[str], classes: tuple[str, ...]) -> dict[str, str | Special]:
        """What each name means; a line of the map goes before an equal name.

        Raises:
            MappingError: naming all that have no line and are no class.
        """
        every = sorted(set(names))
        if lost := [name for name in every if name not in self.means and name not in classes]:
            lines = " ".join(f'{_quoted(name)} = "..."' for name in lost)
            where = (
                f"add to [{TABLE}] of {self.source}:"
                if self.source
                else f"write a map.toml of [{TABLE}] and"
            )
            raise MappingError(
                f"the model has no class {', '.join(lost)}; {where} {lines}"
                f"{'' if self.source else ', and give it as --map'} "
                f'(each a class: {", ".join(classes)}; or "{NONE}" or "{SKIP}")'
            )
        found = {name: self.means.get(name, name) for name in every}
        return {name: one if one in classes else Special(one) for name, one in found.items()}


def read_map(path: Path, classes: tuple[str, ...]) -> ClassMap:
    """Read a ``mapping.toml``.

    Args:
        path: of the file.
        classes: of the model.

    Raises:
        MappingError: no such file, or every mistake in it.
    """
    values = read_toml(path, MappingError)
    table = values.pop(TABLE, None)
    wrong = [f"unknown key {name}" for name in values]
    if not isinstance(table, dict):
        wrong.append(f'no table [{TABLE}]; write lines such as "tin" = "metal" below it')
        table = {}
    wrong += _wrong_values(table, classes)
    if wrong:
        raise MappingError(f"{path}: {'; '.join(wrong)}")
    return ClassMap({class_name(name): meaning for name, meaning in table.items()}, path)


def _wrong_values(table: Mapping[str, object], classes: tuple[str, ...]) -> list[str]:
    """Say which lines name no class; the classes there are stand behind the last."""
    allowed = {*classes, NONE, SKIP}
    wrong = [
        f"{_quoted(name)} = {_quoted(value) if isinstance(value, str) else value}"
        for name, value in table.items()
        if not isinstance(value, str) or value not in allowed
    ]
    if not wrong:
        return []
    return [f'no such class: {", ".join(wrong)} (give {", ".join(classes)}, "{NONE}" or "{SKIP}")']


def _quoted(name: str) -> str:
    """As a TOML string."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
