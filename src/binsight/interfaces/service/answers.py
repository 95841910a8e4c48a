"""The form of what the service answers; it is the OpenAPI document's source as well."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from binsight.bundle import Metadata

from .problems import Problem

__all__ = ["Answers", "Health", "Kept", "ModelAnswer", "PhotoAnswer"]

Share = Annotated[float, Field(ge=0, le=1)]


class BinAnswer(BaseModel):
    """Which bin, as `Decision.to_dict` gives it; a name of null means: ask a person."""

    name: str | None
    colour: str | None
    expected_cost: float
    advice: str
    costs: dict[str, float]


class HeatMap(BaseModel):
    """Where the model looked.

    Args:
        of: the class that the map is of.
        media_type: of the picture.
        base64: the picture: the photo with the map over it.
        box: left, top, right, bottom of the hottest region, in pixels of the upright photo.
        where: that region in words.
        width: of the upright photo, in pixels.
        height: of the upright photo, in pixels.
    """

    of: str
    media_type: str
    base64: str
    box: tuple[int, int, int, int] | None
    where: str | None
    width: int
    height: int


class PhotoAnswer(BaseModel):
    """The answer for one photo, as `Prediction.to_dict` gives it, or the problem with it.

    Args:
        name: of the file, as the client called it.
        label: the most probable class.
        confidence: its calibrated probability.
        sure: whether the model stands by it; treat others as "not sure".
        why: it is not sure.
        novelty: how strange the photo is, if the model tells.
        probs: class name to probability.
        bin: which bin, if the service knows bins.
        heatmap: if it was asked for.
        error: why there is no answer; then all of the above but the name is null.
    """

    name: str
    label: str | None = None
    confidence: Share | None = None
    sure: bool | None = None
    why: str | None = None
    novelty: float | None = None
    probs: dict[str, Share] | None = None
    bin: BinAnswer | None = None
    heatmap: HeatMap | None = None
    error: Problem | None = None


class Answers(BaseModel):
    """Answers in the order of the photos.

    Args:
        model: digest of the bundle that gave them all.
        photos: one answer a photo.
    """

    model: str
    photos: list[PhotoAnswer]


class Kept(BaseModel):
    """A correction that was kept.

    Args:
        file: where the photo lies, below the folder of corrections.
        label: that a person gave.
        model: digest of the bundle that was corrected.
        said: by the model: label, confidence, and whether it was sure.
    """

    file: str
    label: str
    model: str
    said: PhotoAnswer


class ModelAnswer(BaseModel):
    """The bundle that answers.

    Args:
        digest: SHA-256, its identity.
        metadata: what it says about itself.
        bins: names of the bins, if the service knows some.
    """

    digest: str
    metadata: Metadata
    bins: list[str] | None


class Health(BaseModel):
    """Whether the service lives, or is ready."""

    status: str
