from __future__ import annotations

import math

import numpy as np
import pytest
from drawn_video import BLUE, HAND, RED, WIDTH, Thing, drawn, lying, passing
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from binsight.errors import UsageError
from binsight.interfaces.watch.scene import GREY_SIZE, Scene, SceneOptions, State, changed_share

RATE = 5
CAN = Thing(RED, lying(4, 9))


def grey_of(picture: np.ndarray) -> np.ndarray:
    small = Image.fromarray(picture).convert("L").resize(GREY_SIZE, Image.Resampling.BOX)
    return np.asarray(small)


def seen(seconds: float, *things: Thing, **drawing) -> list[tuple[float, State, bool]]:
    """Time, state and whether to answer, of each picture."""
    scene = drawing.pop("scene", None) or Scene()
    told = []
    for at_s, picture in drawn(seconds, things, rate=RATE, **drawing):
        answer = scene.look(grey_of(picture), at_s)
        told.append((at_s, scene.state, answer))
    return told


def answers(*arguments, **drawing) -> list[float]:
    return [at_s for at_s, _, answer in seen(*arguments, **drawing) if answer]


def test_a_thing_that_lies_still_is_answered_once() -> None:
    assert answers(12, CAN) == [5.0]


def test_the_states_follow_each_other() -> None:
    states = [state for at_s, state, _ in seen(12, CAN) if at_s >= 3]
    order = [state for i, state in enumerate(states) if i == 0 or state != states[i - 1]]
    a, b, c, d = State.EMPTY, State.MOVING, State.STILL, State.ANSWERED
    assert order == [a, b, c, d, b, c, a]


def test_an_empty_view_is_never_answered() -> None:
    assert answers(30) == []


def test_a_passing_hand_is_not_answered() -> None:
    assert answers(12, Thing(HAND, passing(3, 6))) == []


def test_a_thing_is_answered_when_the_hand_has_gone() -> None:
    carried = Thing(HAND, passing(4, 7), size=(80, 120))
    assert answers(12, Thing(RED, lying(5, 12)), carried) == [8.0]


def test_a_second_thing_beside_the_first_is_new_and_taking_both_away_is_not() -> None:
    assert answers(20, CAN, Thing(BLUE, lying(7, 9, (20, 150)))) == [5.0, 8.0]


def test_taking_the_second_of_two_things_away_leaves_nothing_new() -> None:
    first, second = Thing(RED, lying(4, 18)), Thing(BLUE, lying(7, 10, (20, 150)))
    again = Thing(BLUE, lying(13, 15, (20, 150)))
    assert answers(20, first, second, again) == [5.0, 8.0]
    assert answers(20, first, second, Thing(BLUE, lying(13, 15, (200, 20)))) == [5.0, 8.0, 14.0]


def test_the_same_thing_again_after_an_empty_view_is_new() -> None:
    assert answers(20, CAN, Thing(RED, lying(12, 18))) == [5.0, 13.0]


def test_a_thing_of_like_brightness_in_the_same_place_is_new_after_a_short_gap() -> None:
    assert answers(12, Thing(RED, lying(4, 6)), Thing(BLUE, lying(6.5, 12))) == [5.0, 7.6]


def test_a_thing_that_creeps_does_not_lie_still() -> None:
    creeping = Thing(RED, lambda at_s: (int(10 * at_s), 90) if at_s > 4 else None)
    assert answers(20, creeping) == []


def test_what_is_there_at_the_start_belongs_to_the_scene() -> None:
    assert answers(12, Thing(RED, lying(0, 12)), Thing(BLUE, lying(5, 12, (20, 20)))) == [6.0]


@pytest.mark.parametrize("strength", [0.1, 0.3, 0.5])
def test_flicker_is_not_motion(strength: float) -> None:
    def light(at_s: float) -> float:
        return 1 - strength * (0.5 + 0.5 * math.sin(40 * at_s))

    assert answers(20, light=light) == []
    assert answers(12, CAN, light=light) == [5.0]


@pytest.mark.parametrize("level", [0.4, 1.5])
def test_a_lamp_that_is_switched_is_nothing_new(level: float) -> None:
    def light(at_s: float) -> float:
        return level if at_s > 6 else 1.0

    assert answers(20, light=light) == []
    assert answers(15, Thing(RED, lying(3, 15)), light=light) == [4.0]


def test_dark_and_light_again_is_nothing_new() -> None:
    def light(at_s: float) -> float:
        return 0.0 if 5 < at_s < 10 else 1.0

    assert answers(20, light=light) == []


def test_a_patch_of_sun_that_grows_slowly_is_learned_and_one_that_jumps_is_new() -> None:
    def sunny(slow_s: float) -> list[float]:
        scene, told = Scene(SceneOptions(learn_s=10)), []
        for at_s, picture in drawn(60, rate=RATE):
            bright = min(1.0, max(0.0, at_s - 5) / slow_s)
            view = picture.astype(float)
            view[:, : WIDTH // 4] *= 1 - 0.5 * bright
            if scene.look(grey_of(view.astype(np.uint8)), at_s):
                told.append(at_s)
        return told

    assert sunny(50) == []
    assert len(sunny(0.1)) == 1


def test_what_lies_for_long_becomes_part_of_the_scene() -> None:
    scene = Scene(SceneOptions(settle_s=5))
    swapped = Thing(RED, lambda at_s: (120, 90) if 4 <= at_s < 14 or at_s >= 20 else None)
    assert answers(30, swapped, scene=scene) == [5.0]  # back at its place: known by now


def test_the_empty_view_is_not_forgotten_for_things_that_lay_long() -> None:
    scene = Scene(SceneOptions(settle_s=5))
    places = [(40, 60), (120, 90), (200, 60), (120, 150)]
    things = [
        Thing(
            RED,
            lambda at_s, start=20 * n, place=place: (
                place if start + 4 <= at_s < start + 14 else None
            ),
        )
        for n, place in enumerate(places)
    ]
    assert answers(90, *things, scene=scene) == [5.0, 25.0, 45.0, 65.0]


@pytest.mark.parametrize(("still_s", "answered_s"), [(0.4, 4.4), (3, 7.0)])
def test_it_waits_as_long_as_it_is_told(still_s: float, answered_s: float) -> None:
    assert answers(9, CAN, scene=Scene(SceneOptions(still_s=still_s))) == [answered_s]


@pytest.mark.parametrize(("area", "found"), [(0.05, [5.0]), (0.08, [])])
def test_a_thing_smaller_than_told_is_overlooked(area: float, found: list[float]) -> None:
    # The can covers 80 x 60 of 320 x 240 pixels, 6.25 %.
    assert answers(12, CAN, scene=Scene(SceneOptions(area=area))) == found


@given(st.floats(0.3, 3.0), st.integers(0, 100))
def test_exposure_alone_changes_nothing(exposure: float, seed: int) -> None:
    one = np.random.default_rng(seed).uniform(20, 80, (72, 96)).astype(np.float32)
    assert changed_share(one, one * np.float32(exposure), level=8) == 0


def test_the_share_is_that_of_the_changed_pixels() -> None:
    one = np.full((72, 96), 100, np.float32)
    other = one.copy()
    other[:36, :24] = 160
    assert changed_share(one, other, level=50) == 0.125
    assert changed_share(other, one, level=50) == 0.125
    assert changed_share(one, other, level=70) == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"still_s": -1}, "--still -1; give 0 to 3600 seconds"),
        ({"area": 0.7}, "--area 0.7; give 0.0005 to 0.5 as a share of the picture"),
        ({"level": math.nan}, "--level nan; give 2 to 200 grey levels"),
        ({"learn_s": 0}, "--learn 0"),
        ({"settle_s": 0}, "--settle 0"),
    ],
)
def test_a_value_out_of_range_is_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        SceneOptions(**wrong)
