"""Shapes that Streamlit lacks, as HTML that reads well aloud, on any width, light and dark.

Whatever comes from a file or a person is escaped here; Streamlit cleans the result once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources

from binsight.bins import Bin

__all__ = ["bars", "bin_card", "card", "style"]


def style() -> str:
    """The style sheet, once a page."""
    sheet = resources.files(__package__) / "parts.css"
    return f"<style>{sheet.read_text(encoding='utf-8')}</style>"


def card(kicker: str, headline: str, lines: Sequence[str], todo: Sequence[str] = ()) -> str:
    """An answer: what it is, a few lines about it, and what to do."""
    about = "".join(f"<p>{escape(line)}</p>" for line in lines)
    steps = "".join(f"<li>{escape(step)}</li>" for step in todo)
    unsure = " bs-unsure" if todo else ""
    return (
        f'<section class="bs-card{unsure}"><p class="bs-kicker">{escape(kicker)}</p>'
        f"<h2>{escape(headline)}</h2>{about}{f'<ul>{steps}</ul>' if steps else ''}</section>"
    )


def bin_card(where: Bin | None, advice: str) -> str:
    """Which bin, with its colour; ``None`` is none of them."""
    colour = where.colour if where else "transparent"
    name = where.name if where else "Ask someone first"
    return (
        f'<section class="bs-bin"><span class="bs-lid" style="background:{escape(colour)}"></span>'
        f"<div><h3>{escape(name)}</h3><p>{escape(advice)}</p></div></section>"
    )


def bars(shares: Mapping[str, float], said: Mapping[str, str], *, label: str) -> str:
    """Horizontal bars as a list that says its numbers.

    Args:
        shares: name to length, 0 to 1.
        said: name to the number beside it.
        label: what the bars are, for a screen reader.
    """
    rows = "".join(
        f'<li><span class="bs-name">{escape(name)}</span>'
        f'<span class="bs-track"><span style="width:{share:.1%}"></span></span>'
        f'<span class="bs-number">{escape(said[name])}</span></li>'
        for name, share in shares.items()
    )
    return f'<ul class="bs-bars" aria-label="{escape(label)}">{rows}</ul>'
