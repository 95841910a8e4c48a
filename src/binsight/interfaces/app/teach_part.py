"""The foot of the page: what people corrected, and a lesson from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import streamlit as st

from binsight.errors import BinsightError, WorseModelError

from . import words
from .desk import Desk

if TYPE_CHECKING:
    from binsight.teaching import Lesson

__all__ = ["show"]

FEW = 3  # photos of a class; fewer teach little


def show(desk: Desk) -> None:
    """Draw it, if there is something to learn from or to go back from."""
    counts = desk.corrected()
    if not counts and not desk.is_taught:
        return
    st.divider()
    st.subheader("Teach it")
    if counts:
        st.markdown(f"You have kept {words.counted(counts)}.")
        if min(counts.values()) < FEW:
            st.caption(f"It learns better from {FEW} photos or more of each.")
        if st.button("Teach from corrections", type="primary", icon=":material/school:"):
            _teach(desk)
    _outcome(desk)


def _teach(desk: Desk) -> None:
    """Hold the lesson, and draw the page anew with the model that came of it."""
    bar = st.progress(0.0, "Learning ...")

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, f"Looking at photo {done} of {total}")

    try:
        lesson = desk.teach(progress)
    except WorseModelError as error:
        bar.empty()
        st.warning(
            "I did not keep what I learned, because it would make me worse: "
            f"{cast('Lesson', error.lesson).worse}. Are all corrections right? More photos may "
            "help, too.",
            icon=":material/undo:",
        )
        _table(cast("Lesson", error.lesson))
    except (BinsightError, OSError) as error:
        bar.empty()
        st.error(f"I could not learn from these: {error}", icon=":material/error:")
    else:
        st.session_state["lesson"] = lesson
        st.rerun()


def _outcome(desk: Desk) -> None:
    if not desk.is_taught:
        return
    st.success(
        f"The taught model answers now. To use it again later: `binsight app --model "
        f"{desk.classifier.path}`",
        icon=":material/school:",
    )
    if lesson := st.session_state.get("lesson"):
        _table(lesson)
    if st.button("Back to the model before", icon=":material/undo:"):
        desk.forget()
        st.session_state.pop("lesson", None)
        st.rerun()


def _table(lesson: Lesson) -> None:
    """How many were right before and are now, class by class."""
    taught = [name for name, number in lesson.photos.items() if number]
    names = [*taught, "all"]
    before = [*(lesson.before_of[name] for name in taught), lesson.before]
    after = [*(lesson.after_of[name] for name in taught), lesson.after]
    st.table(
        {
            "": names,
            "Photos": [*(lesson.photos[name] for name in taught), sum(lesson.photos.values())],
            "Right before": [f"{share:.0%}" for share in before],
            "Right now": [f"{share:.0%}" if lesson.folds else "-" for share in after],
        },
        hide_index=True,
    )
    if lesson.folds:
        st.caption("Now: each photo as a model answers it that was not taught with it.")
    old, new = lesson.remembered_before, lesson.remembered_after
    if old is not None and new is not None:
        st.caption(
            f"Of photos like those it learned from, {old:.0%} were right, and {new:.0%} are."
        )
