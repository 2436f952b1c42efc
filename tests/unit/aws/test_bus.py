from typing import Any

import pytest
from botocore.exceptions import ClientError
from pydantic import BaseModel
from tests.support.aws import BUS, Faulty, client, fault, watched_bus

from tunehook.aws.bus import EventBus


class TaskCompleted(BaseModel):
    """Stands for an event."""

    number: int
    text: str = ""


class Service:
    """PutEvents, as far as the bus uses it; the n-th entry that comes is refused as `refusals` says."""

    def __init__(self, *refusals: set[int]) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self._refusals = list(refusals)

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self.requests.append(Entries)
        refused = self._refusals.pop(0) if self._refusals else set()
        return {
            "FailedEntryCount": len(refused),
            "Entries": [
                {"ErrorCode": "ThrottlingException"} if position in refused else {"EventId": str(position)}
                for position in range(len(Entries))
            ],
        }

    def numbers(self) -> list[list[int]]:
        """The numbers of the events in each request."""
        return [
            [TaskCompleted.model_validate_json(entry["Detail"]).number for entry in request]
            for request in self.requests
        ]


def events(count: int, text: str = "") -> list[TaskCompleted]:
    return [TaskCompleted(number=number, text=text) for number in range(count)]


def test_an_entry_names_the_bus_the_source_and_the_model(aws: None) -> None:
    emitted = watched_bus()
    assert EventBus(client("events"), BUS).put([TaskCompleted(number=1, text="歌")]) == [True]
    (event,) = emitted()
    assert (event["source"], event["detail-type"]) == ("tunehook", "TaskCompleted")
    assert event["detail"] == {"number": 1, "text": "歌"}


def test_nothing_to_emit_is_no_call() -> None:
    service = Service()
    assert EventBus(service, BUS).put([]) == []  # type: ignore[arg-type]
    assert service.requests == []


def test_a_request_takes_ten_events() -> None:
    service = Service()
    assert EventBus(service, BUS).put(events(21)) == [True] * 21  # type: ignore[arg-type]
    assert [len(request) for request in service.requests] == [10, 10, 1]


def test_a_request_stays_below_the_services_256_kb() -> None:
    service = Service()
    EventBus(service, BUS).put(events(5, "歌" * 33_000))  # type: ignore[arg-type]
    assert [len(request) for request in service.requests] == [2, 2, 1]
    sizes = [sum(len(entry["Detail"].encode()) for entry in request) for request in service.requests]
    assert all(size < 256_000 for size in sizes)


def test_an_event_that_is_larger_than_a_request_should_be_goes_alone_and_nothing_before_it() -> None:
    service = Service()
    large = TaskCompleted(number=1, text="x" * 250_000)
    assert EventBus(service, BUS).put([large, *events(2)]) == [True] * 3  # type: ignore[arg-type]
    assert service.numbers() == [[1], [0, 1]]


def test_only_the_refused_entries_are_sent_again_after_a_pause(pauses: list[float]) -> None:
    service = Service({1, 3}, {0})
    assert EventBus(service, BUS).put(events(4)) == [True] * 4  # type: ignore[arg-type]
    assert service.numbers() == [[0, 1, 2, 3], [1, 3], [1]]
    assert len(pauses) == 2


def test_an_event_that_is_refused_every_time_is_reported_as_such(pauses: list[float]) -> None:
    service = Service({2}, {0}, {0}, {0})
    assert EventBus(service, BUS).put(events(4)) == [True, True, False, True]  # type: ignore[arg-type]
    assert len(service.requests) == 3


def test_a_refusal_in_one_request_does_not_touch_the_next(pauses: list[float]) -> None:
    service = Service({0}, {0}, {0})
    accepted = EventBus(service, BUS).put(events(12))  # type: ignore[arg-type]
    assert accepted == [False] + [True] * 11


def test_a_fault_of_the_service_is_raised(aws: None) -> None:
    faulty = Faulty(client("events"), put_events=[fault("InternalException", "PutEvents")])
    with pytest.raises(type(fault()), match="InternalException"):
        EventBus(faulty, BUS).put(events(1))


def test_a_call_that_fails_after_others_does_not_hide_that_those_went_through() -> None:
    failing = Faulty(Service(), put_events=[None, fault("ThrottlingException", "PutEvents")])
    assert EventBus(failing, BUS).put(events(25)) == [True] * 10 + [False] * 15


@pytest.mark.parametrize(("more", "requests"), [(0, [2]), (1, [1, 1])])
def test_a_request_has_240_kb_of_details_at_most(more: int, requests: list[int]) -> None:
    frame = len(TaskCompleted(number=1).model_dump_json())
    told = [TaskCompleted(number=1, text="x" * (120_000 - frame)) for _ in range(2)]
    told[1] = TaskCompleted(number=1, text="x" * (120_000 - frame + more))
    service = Service()
    EventBus(service, BUS).put(told)  # type: ignore[arg-type]
    assert [len(request) for request in service.requests] == requests


async def test_from_the_event_loop_the_same_is_emitted_and_refused() -> None:
    service = Service({1, 3}, set(), {0})
    failing = Faulty(service, put_events=[None, None, None, fault("ThrottlingException", "PutEvents")])
    accepted = await EventBus(failing, BUS).put_in_loop(events(25))
    assert accepted == [True] * 10 + [False] + [True] * 9 + [False] * 5
    assert service.numbers() == [[*range(10)], [1, 3], [*range(10, 20)]]


async def test_from_the_event_loop_a_fault_before_any_event_is_raised() -> None:
    failing = Faulty(Service(), put_events=[fault("InternalException", "PutEvents")])
    with pytest.raises(ClientError, match="InternalException"):
        await EventBus(failing, BUS).put_in_loop(events(1))
