"""The page where photos are sorted: from camera, file or example to an answer."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from binsight import Bins
from binsight.errors import BinsError, ImageError
from binsight.images import PHOTO_SUFFIXES

from . import many, one, teach_part
from .desk import Desk, Photo, Seen
from .examples import example, example_names
from .words import trouble

__all__ = ["show"]

UPLOAD, CAMERA, EXAMPLE = ":material/upload: Upload", ":material/photo_camera: Camera", "Example"
NO_BINS = "No bins, just the material"
KINDS = sorted(one.removeprefix(".") for one in PHOTO_SUFFIXES)
MOST_PHOTOS = 200


def show(desk: Desk) -> None:
    """Draw it."""
    st.title("What is it made of?")
    left, right = st.columns(2, gap="medium")
    with left:
        photos = _photos()
    with right:
        bins = _bins(desk)
        answer_place = st.container()
    seen = _looked_at(desk, photos)
    if len(seen) == 1:
        with left:
            one.show_photo(desk, seen[0])
        with answer_place:
            one.show_answer(desk, seen[0], bins)
    elif seen:
        many.show(desk, seen, bins)
    elif not photos:
        with answer_place:
            _welcome(desk)
    teach_part.show(desk)


def _photos() -> list[Photo]:
    source = st.segmented_control(
        "Where is the photo?", [UPLOAD, CAMERA, EXAMPLE], default=UPLOAD, required=True, key="from"
    )
    if source == CAMERA:
        taken = st.camera_input("Hold one thing in front of the camera", key="camera")
        return [Photo("camera.jpg", taken.getvalue())] if taken else []
    if source == EXAMPLE:
        name = st.pills(
            "Which one?", example_names(), default="glass", required=True, wrap=True, key="example"
        )
        return [example(name)] if name else []
    given = st.file_uploader(
        "Photos, each of one thing",
        type=KINDS,
        accept_multiple_files=True,
        key="upload",
    )
    if len(given) > MOST_PHOTOS:
        st.warning(f"These are more than {MOST_PHOTOS} photos; here are the first {MOST_PHOTOS}.")
    return [Photo(file.name, file.getvalue()) for file in given[:MOST_PHOTOS]]


def _bins(desk: Desk) -> Bins | None:
    """The bins that were chosen, if they take all that the model knows."""
    names = [*desk.schemes, NO_BINS] if desk.starts_with_bins else [NO_BINS, *desk.schemes]
    kept = st.session_state.get("kept_bins", names[0])  # another page forgets what stands here
    name = st.selectbox("Whose bins?", names, index=names.index(kept), key="bins")
    st.session_state["kept_bins"] = name
    bins = desk.schemes.get(name)
    if bins is None:
        return None
    try:
        bins.require(desk.classifier.classes)
    except BinsError as error:
        st.warning(f"These bins do not fit the model: {error}.")
        return None
    return bins


def _looked_at(desk: Desk, photos: Sequence[Photo]) -> list[Seen]:
    """Those that can be read; of the others, say why not."""
    found = []
    progress = st.progress(0.0, "Looking ...") if len(photos) > 1 else None
    for number, photo in enumerate(photos, start=1):
        answer = desk.answer(photo)
        if isinstance(answer, ImageError):
            _complain(photo, answer)
        else:
            found.append(answer)
        if progress:
            progress.progress(number / len(photos), f"Looking at photo {number} of {len(photos)}")
    if progress:
        progress.empty()
    return found


def _complain(photo: Photo, error: ImageError) -> None:
    with st.container(border=True):
        st.text(photo.name)  # as text: a name may hold anything
        st.error(trouble(photo.data, error), icon=":material/broken_image:")


def _welcome(desk: Desk) -> None:
    st.markdown(
        "Show me a photo of one thing that you want to throw away. I say what it is made of."
    )
    st.caption(
        f"I know {', '.join(desk.classifier.classes)}. Photos stay on the machine where this app "
        "runs; only those that you correct are kept there."
    )
