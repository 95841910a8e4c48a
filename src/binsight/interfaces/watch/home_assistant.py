"""What Home Assistant has to be told to show the events, without a line of configuration.

https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery
"""

from __future__ import annotations

import json

from binsight import __version__

from .broker import Address

__all__ = ["discovery"]

PREFIX = "homeassistant"  # of the topics that it listens to, unless somebody changed that
MATERIAL = (
    "{% if value_json.error is defined %}unreadable"
    "{% elif value_json.sure %}{{ value_json.label }}{% else %}not sure{% endif %}"
)
CONFIDENCE = "{{ (100 * value_json.confidence) | round(1) if value_json.confidence is defined }}"
BIN = "{{ (value_json.bin.name or 'ask a person') if value_json.bin is defined }}"


def discovery(address: Address, *, device: str, name: str, bins: bool) -> dict[str, str]:
    """Retained messages, topic to JSON: one sensor each for material, confidence and bin.

    Args:
        address: where the events go.
        device: an id that stays the same from start to start.
        name: of the device, for people.
        bins: whether events say a bin.
    """
    sensors = {
        "material": {
            "name": "Material",
            "icon": "mdi:recycle",
            "value_template": MATERIAL,
            "json_attributes_topic": address.topic,
        },
        "confidence": {
            "name": "Confidence",
            "unit_of_measurement": "%",
            "value_template": CONFIDENCE,
            "entity_category": "diagnostic",
        },
    }
    if bins:
        sensors["bin"] = {"name": "Bin", "icon": "mdi:delete", "value_template": BIN}
    shared = {
        "state_topic": address.topic,
        "availability_topic": address.status_topic,
        "payload_available": "online",
        "payload_not_available": "offline",
        "force_update": True,  # the same material twice is two events
        "device": {
            "identifiers": [device],
            "name": name,
            "manufacturer": "binsight",
            "sw_version": __version__,
        },
        "origin": {"name": "binsight", "sw_version": __version__},
    }
    return {
        f"{PREFIX}/sensor/{device}/{key}/config": json.dumps(
            shared | {"unique_id": f"{device}_{key}"} | sensor
        )
        for key, sensor in sensors.items()
    }
