"""A pass of the poller whose writes are applied and whose answers are lost, one write after the other."""

import pytest
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from tests.support.aws import Losing, client
from tests.unit.poller.world import COMPLETED, PROCESSING, World

from poller.poll_loop import StopReason
from tunehook.aws.leases import Leases

ENDS_AT_S = 20.0


def played(dynamodb: Losing, *, take_over: bool) -> tuple[StopReason, list[tuple[str, str]], float]:
    """Play a pass over one task; return why it stopped, what was emitted, and when the task was asked first."""
    with mock_aws():
        world = World(gw=lambda _: COMPLETED if world.seconds() >= ENDS_AT_S else PROCESSING)
        world.dynamodb = dynamodb
        world.leases = Leases(dynamodb, "PollerLeasesTable")
        world.add("task-1")
        try:
            stopped = world.run(take_over=take_over, lasts_s=60)
        except ReadTimeoutError:
            # Lambda makes the invocation again, under the same id.
            stopped = world.run(take_over=take_over, lasts_s=60)
        emitted = world.emitted()
        assert world.item()["status"] == "completed"
        assert "queue" not in world.item()
        return stopped, emitted, world.times_of()[0]


@pytest.mark.parametrize("take_over", [False, True], ids=["started by intake", "started by the schedule"])
@pytest.mark.parametrize("gives_up", [False, True], ids=["made again", "given up"])
def test_no_event_waits_for_the_next_pass_and_no_poller_stops_on_its_own_lease(
    take_over: bool, gives_up: bool
) -> None:
    well = Losing(client("dynamodb"), ())
    undisturbed = played(well, take_over=take_over)
    assert undisturbed[1] == [("TaskCompleted", "task-1")]
    for number in range(len(well.writes)):
        losing = Losing(client("dynamodb"), {number}, gives_up=gives_up)
        stopped, emitted, first_s = played(losing, take_over=take_over)
        assert (stopped, emitted) == undisturbed[:2], number
        assert first_s - undisturbed[2] < 1, number
        assert losing.lost == 1
