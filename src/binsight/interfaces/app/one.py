"""One photo: what it is, which bin, how probable the rest is, where the model looked."""

from __future__ import annotations

import streamlit as st

from binsight import Bins
from binsight.errors import CorrectionError
from binsight.explain.overlay import overlay
from binsight.interfaces.deciding import decided
from binsight.runtime import Prediction

from . import parts, words
from .desk import Desk, Seen, shown

__all__ = ["show_answer", "show_photo"]

PHOTO = "The photo that you gave"
SOMETHING_ELSE = "something else ..."


def show_photo(desk: Desk, seen: Seen) -> None:
    """The photo, or the map over it."""
    place = st.empty()
    if not st.toggle("Show where it looked", key="heat"):
        place.image(shown(seen.photo), caption="Your photo", alt=PHOTO)
        return
    with st.spinner("Looking where it looked ..."):
        explanation = desk.explanation(seen.photo)
    if explanation is None:
        place.image(shown(seen.photo), caption="Your photo", alt=PHOTO)
        st.info("This model cannot tell where it looked.")
        return
    where = explanation.region.words if explanation.region else "nowhere in particular"
    place.image(
        overlay(shown(seen.photo), explanation),
        alt=f"{PHOTO}, with a map of where the model looked",
        caption=f"Yellow speaks most for {explanation.explained}. It looked here: {where}. "
        "Dark parts at the edges were not looked at.",
    )


def show_answer(desk: Desk, seen: Seen, bins: Bins | None) -> None:
    """All about it."""
    prediction = seen.prediction
    st.html(_answer(desk, prediction))
    if bins:
        st.html(_bin(desk, prediction, bins))
    with st.container(border=True):
        st.markdown("**How probable is each?**")
        probs = dict(sorted(prediction.probs.items(), key=lambda item: -item[1]))
        said = {name: words.percent(share) for name, share in probs.items()}
        st.html(parts.bars(probs, said, label="Probability of each material"))
    _correct(desk, seen)


def _answer(desk: Desk, prediction: Prediction) -> str:
    if prediction.sure:
        return parts.card("This is", prediction.label, [words.how_sure(prediction)])
    why = words.reason(prediction, desk.classifier.classes)
    return parts.card("I am", words.NOT_SURE, [why], words.advice(prediction))


def _bin(desk: Desk, prediction: Prediction, bins: Bins) -> str:
    decision = decided(desk.classifier, bins, prediction)
    if decision.bin is None:
        if prediction.strange:
            return parts.bin_card(None, "It is like nothing that I have learned.")
        return parts.bin_card(None, "A wrong bin would cost more than the question.")
    either = "" if prediction.sure else "Whichever of these it is. "
    return parts.bin_card(decision.bin, either + decision.advice)


def _correct(desk: Desk, seen: Seen) -> None:
    """Let a person say what it is."""
    title = "That's wrong" if seen.prediction.sure else "I know what it is"
    key = seen.photo.sha256[:16]
    with st.expander(title, icon=":material/edit:"):
        names = [*desk.classifier.classes, SOMETHING_ELSE]
        label = st.selectbox(
            "What is it really?", names, index=None, placeholder="Choose", key=f"label {key}"
        )
        if label == SOMETHING_ELSE:
            label = st.text_input("Call it", max_chars=60, key=f"name {key}").strip() or None
        clicked = st.button("Keep this", type="primary", disabled=not label, key=f"keep {key}")
        st.caption("Keeps the photo and your answer, so that the model can learn from them.")
        if clicked and label:
            _keep(desk, seen, label)


def _keep(desk: Desk, seen: Seen, label: str) -> None:
    try:
        desk.correct(seen, label)
    except CorrectionError as error:
        st.error(str(error))
        return
    st.success("Kept. Thank you! Below, the model can learn from it.", icon=":material/check:")
