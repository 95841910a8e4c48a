"""What the app says, in words for a person in a kitchen. It knows answers, and no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from binsight.errors import ImageError, ImageTooLargeError
from binsight.runtime import Prediction

__all__ = ["NOT_SURE", "advice", "counted", "how_sure", "percent", "reason", "trouble"]

NOT_SURE = "not sure"
LIKELY = 0.15  # a second guess below this is not worth a word
SURELY = 0.995  # nothing is 100 % sure
ANOTHER_PHOTO = "Take another photo: one thing alone, close up, in good light."
PLAIN = "Lay it on something plain, such as a table or a tray."


def percent(share: float) -> str:
    """0 to 1 as a whole percentage, never rounded up to certainty or down to nothing."""
    if share >= SURELY:
        return "over 99 %"
    return "under 1 %" if share < 1 - SURELY else f"{share:.0%}".replace("%", " %")


def how_sure(prediction: Prediction) -> str:
    """How sure the answer is, as a short line."""
    return f"{percent(prediction.confidence)} sure"


def reason(prediction: Prediction, classes: Sequence[str]) -> str:
    """Why an answer is not sure."""
    if prediction.strange:
        return (
            "This looks like nothing that I have learned. I know "
            f"{_listed(classes, 'and')}, and nothing else."
        )
    best, second = sorted(prediction.probs.items(), key=lambda item: -item[1])[:2]
    guess = f"It may be {best[0]} ({percent(best[1])})"
    if second[1] >= LIKELY:
        guess += f" or {second[0]} ({percent(second[1])})"
    return f"{guess}, but that is too close to a guess."


def advice(prediction: Prediction) -> tuple[str, ...]:
    """What to do about an answer that is not sure."""
    if prediction.strange:
        return (
            "Is it one of these after all? Take another photo, alone and close up.",
            "Batteries, lamps and electrical things go to a collection point, in no bin at home.",
            "You know what it is? Tell me below, and I can learn it.",
        )
    return (
        ANOTHER_PHOTO,
        PLAIN,
        "Look for a mark on it, such as PET, ALU or a number in a triangle.",
    )


def trouble(data: bytes, error: ImageError) -> str:
    """Why a file is of no use, and what to do."""
    if not data:
        return "The file is empty. Try to save or send it again."
    if isinstance(error, ImageTooLargeError):
        return "The photo is too large. Crop it, or take it at a lower resolution."
    return "This is not a photo that can be read. Use a JPEG, PNG or WebP picture."


def counted(counts: Mapping[str, int]) -> str:
    """``{"glass": 2, "metal": 1}`` as ``3 photos: 2 glass, 1 metal``."""
    total = sum(counts.values())
    each = ", ".join(f"{number} {name}" for name, number in counts.items())
    return f"{total} {'photo' if total == 1 else 'photos'}: {each}"


def _listed(names: Sequence[str], word: str) -> str:
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
