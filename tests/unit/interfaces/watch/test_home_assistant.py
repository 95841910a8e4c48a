from __future__ import annotations

import json
from typing import Any

import pytest

from binsight.interfaces.watch.broker import Address
from binsight.interfaces.watch.home_assistant import discovery

ADDRESS = Address(host="broker", port=1883, topic="kitchen/bin")
SURE = {"label": "glass", "confidence": 0.9712, "sure": True, "bin": {"name": "Glas"}}
UNSURE = {"label": "glass", "confidence": 0.4, "sure": False, "bin": {"name": None}}
BROKEN = {"error": "a.jpg: the file is empty"}


def sensors(*, bins: bool = True) -> dict[str, dict[str, Any]]:
    found = discovery(ADDRESS, device="binsight_1", name="Kitchen", bins=bins)
    return {topic: json.loads(text) for topic, text in found.items()}


def test_each_sensor_has_a_topic_and_an_id_of_its_own() -> None:
    found = sensors()
    assert list(found) == [
        f"homeassistant/sensor/binsight_1/{key}/config" for key in ("material", "confidence", "bin")
    ]
    assert len({one["unique_id"] for one in found.values()}) == 3
    for one in found.values():
        assert one["state_topic"] == "kitchen/bin"
        assert one["availability_topic"] == "kitchen/bin/status"
        assert one["device"]["identifiers"] == ["binsight_1"]
    assert len(sensors(bins=False)) == 2


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (SURE, ["glass", "97.1", "Glas"]),
        (UNSURE, ["not sure", "40.0", "ask a person"]),
        (BROKEN, ["unreadable", "", ""]),
    ],
)
def test_templates_show_an_event(event: dict[str, Any], shown: list[str]) -> None:
    jinja2 = pytest.importorskip("jinja2")
    templates = [one["value_template"] for one in sensors().values()]
    assert [jinja2.Template(one).render(value_json=event) for one in templates] == shown
