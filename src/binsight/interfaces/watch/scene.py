"""When to answer: once for each new thing that lies still, and never because the light changed.

It looks at small grey pictures and at nothing else. States:

    moving ─> still ─> answered     something that is not known lies there
       └────────────> empty         a scene that is known: nothing new

A scene is known if the view began with it, or if it lay there for long (`SceneOptions.settle_s`).
Known scenes are learned slowly, so that daylight may come and go. Two pictures are compared after
the brighter one's exposure has been given to the other: the median ratio of their pixels (robust as
long as less than half of the view changed), as lamps and automatic exposure multiply.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from binsight.errors import UsageError

__all__ = ["GREY_SIZE", "Scene", "SceneOptions", "State", "changed_share"]

Grey = NDArray[np.float32]

GREY_SIZE = (96, 72)  # width, height: details smaller than an object are averaged away
MOTION = 0.5  # of the area of an object: so much change since it seemed still is motion
DARK = 8.0  # mean grey level below which there is nothing to see
MOST_EXPOSURE = 4.0  # what lamps and cameras make of a scene; more is another scene
KNOWN_SCENES = 3
SEEN_SCENES = 10


class State(StrEnum):
    """What is in view."""

    EMPTY = "empty"
    MOVING = "moving"
    STILL = "still"
    ANSWERED = "answered"


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """When something counts as new, and as lying still.

    Args:
        still_s: seconds without motion before an answer.
        area: the smallest thing, as a share of the picture, 0 to 0.5.
        level: how much a pixel has to change, in grey levels of 255.
        learn_s: seconds in which a known scene follows the light (time constant).
        settle_s: seconds after which what was answered belongs to the scene.

    Raises:
        UsageError: a value out of its range.
    """

    still_s: float = 1.0
    area: float = 0.02
    level: float = 25.0
    learn_s: float = 60.0
    settle_s: float = 300.0

    def __post_init__(self) -> None:
        _check("still", self.still_s, 0, 3600, "seconds")
        _check("area", self.area, 0.0005, 0.5, "as a share of the picture")
        _check("level", self.level, 2, 200, "grey levels")
        _check("learn", self.learn_s, 1, 1e6, "seconds")
        _check("settle", self.settle_s, 1, 1e9, "seconds")


class Scene:
    """Follows one view.

    Attributes:
        state: what is in view now.
    """

    def __init__(self, options: SceneOptions | None = None) -> None:
        self.options = options or SceneOptions()
        self.state = State.MOVING
        self._known: deque[Grey] = deque(maxlen=KNOWN_SCENES)
        self._answered: Grey | None = None
        self._seen: deque[Grey] = deque(maxlen=SEEN_SCENES)  # answered since the view was known
        self._answered_at_s = 0.0
        self._anchor: Grey | None = None  # the picture since which nothing moved
        self._anchor_at_s = 0.0
        self._last_at_s = 0.0

    def look(self, grey_hw_u8: NDArray[np.uint8], at_s: float) -> bool:
        """Take one picture in; say whether to answer now.

        Args:
            grey_hw_u8: (H, W), always of one size.
            at_s: seconds, rising from call to call.
        """
        grey = grey_hw_u8.astype(np.float32)
        passed_s, self._last_at_s = at_s - self._last_at_s, at_s
        if grey.mean() < DARK:
            self._anchor = None
            return False
        if self._anchor is None or self._moved(grey):
            self._anchor, self._anchor_at_s = grey, at_s
            self.state = State.MOVING
            return False
        if at_s - self._anchor_at_s < self.options.still_s:
            self.state = State.STILL
            if self._known_like(grey) is not None:
                self._forget()
            return False
        return self._settled(grey, at_s, passed_s)

    def _moved(self, grey: Grey) -> bool:
        assert self._anchor is not None
        return self._share(grey, self._anchor) >= MOTION * self.options.area

    def _settled(self, grey: Grey, at_s: float, passed_s: float) -> bool:
        if not self._known:
            self._known.append(grey)
        same = self._known_like(grey)
        if same is not None:
            self.state = State.EMPTY
            self._forget()
            self._remember(same)
            self._learn(same, grey, passed_s)
            return False
        new = False
        if self._answered is None or not self._looks_like(grey, self._answered):
            # A second thing that was taken away again leaves the first, which is not new.
            before = next((one for one in self._seen if self._looks_like(grey, one)), None)
            new = before is None
            self._answered, self._answered_at_s = grey.copy() if before is None else before, at_s
            if new:
                self._seen.append(self._answered)
        self.state = State.ANSWERED
        self._learn(self._answered, grey, passed_s)
        if at_s - self._answered_at_s >= self.options.settle_s:
            self._remember(self._answered)
        return new

    def _forget(self) -> None:
        """All was taken away; what comes next is another thing."""
        self._answered = None
        self._seen.clear()

    def _remember(self, scene: Grey) -> None:
        """Keep a scene as the last that was in view; the one goes that was not for longest."""
        others = [one for one in self._known if one is not scene]
        self._known = deque([*others, scene], maxlen=KNOWN_SCENES)

    def _known_like(self, grey: Grey) -> Grey | None:
        return next((one for one in self._known if self._looks_like(grey, one)), None)

    def _looks_like(self, grey: Grey, scene: Grey) -> bool:
        return self._share(grey, scene) < self.options.area

    def _share(self, one: Grey, other: Grey) -> float:
        return changed_share(one, other, level=self.options.level)

    def _learn(self, scene: Grey, grey: Grey, passed_s: float) -> None:
        scene += min(1.0, passed_s / self.options.learn_s) * (grey - scene)


def changed_share(one_hw: Grey, other_hw: Grey, *, level: float) -> float:
    """Share of pixels, 0 to 1, that differ by ``level`` grey levels or more, exposure apart.

    The darker picture is brightened, by at most `MOST_EXPOSURE`, and clipped at white as a sensor
    would clip it.
    """
    exposure = float(np.median((one_hw + 1) / (other_hw + 1)))
    exposure = min(max(exposure, 1 / MOST_EXPOSURE), MOST_EXPOSURE)
    if exposure > 1:
        other_hw = np.minimum(other_hw * exposure, 255)
    else:
        one_hw = np.minimum(one_hw / exposure, 255)
    return float(np.mean(np.abs(one_hw - other_hw) >= level))


def _check(name: str, value: float, least: float, most: float, unit: str) -> None:
    if not least <= value <= most:
        raise UsageError(f"--{name} {value:g}; give {least:g} to {most:g} {unit}")
