"""The sample events of the folder ``events/``."""

from __future__ import annotations

import copy
import json
from typing import Any

from tests.support.aws import stream_image
from tests.support.template import ROOT


def sample(name: str) -> dict[str, Any]:
    """Return a sample event."""
    return json.loads((ROOT / "events" / f"{name}.json").read_text())


def stream_event(*items: dict[str, Any]) -> dict[str, Any]:
    """Return a stream's event with one record an item; the n-th record's sequence number is ``seq-<n>``."""
    (pattern,) = sample("task_inserted")["Records"]
    records = []
    for number, item in enumerate(items):
        record = copy.deepcopy(pattern)
        image = stream_image(item)
        record["dynamodb"] |= {
            "SequenceNumber": f"seq-{number}",
            "NewImage": image,
            "Keys": {name: image[name] for name in ("task_id", "provider")},
        }
        records.append(record)
    return {"Records": records}


def queue_event(*bodies: str) -> dict[str, Any]:
    """Return a queue's event with one record a body; the n-th message's id is ``message-<n>``."""
    (pattern,) = sample("task_completed")["Records"]
    return {
        "Records": [
            pattern | {"messageId": f"message-{number}", "body": body} for number, body in enumerate(bodies)
        ]
    }
