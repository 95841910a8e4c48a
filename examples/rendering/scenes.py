"""The six pictures by name."""

from collections.abc import Callable

from rendering.bottles import glass_bottle, plastic_bottle
from rendering.can import drinks_can
from rendering.cardboard import cardboard_box
from rendering.sheets import crisps_bag, crumpled_page
from rendering.studio import Shot

SHOTS: dict[str, Callable[[], Shot]] = {
    "cardboard": cardboard_box,
    "glass": glass_bottle,
    "metal": drinks_can,
    "paper": crumpled_page,
    "plastic": plastic_bottle,
    "trash": crisps_bag,
}
