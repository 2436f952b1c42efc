"""A run: the stack as its users drive it, while what a plan says breaks; then everything is counted."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from tests.stack.driving import HANG_S
from tests.stack.faults import looking, report
from tests.stack.faults.books import Books
from tests.stack.faults.breaking import Breaking
from tests.stack.faults.checking import Checking
from tests.stack.faults.deployment import Deployment, deployment
from tests.stack.faults.forbidding import try_forbidden
from tests.stack.faults.gathering import gathered
from tests.stack.faults.ledger import ENDED, Findings, count
from tests.stack.faults.plan import CHECKED, WATCHER, Plan
from tests.stack.faults.reading import Keys, Reader
from tests.stack.faults.replaying import look_again, replay
from tests.stack.faults.world import World
from tests.stack.watching import BusWatch
from tests.support.patience import Moves

from tunehook.deliveries import is_progress
from tunehook.errors import Unavailable
from tunehook.signatures import SignatureScheme, notify_hook_subscription_id
from tunehook.times import now_ms

LOOK_EVERY_S: Final = 1.0
TELL_EVERY_S: Final = 5.0

QUIET_S: Final = {1: HANG_S, 2: 300.0 + HANG_S}
"""How long nothing may move before a run is stuck, by how often a receiver refuses: the second wait is 5 min.

There is no other end: how long all of it takes is the machine's affair.
"""

REQUESTS_MAX: Final = 20
"""How many requests a delivery may take until more of them are no move: a message goes round in circles."""

HIDDEN_S: Final = {1: 30, 2: 120}
"""How long the queues themselves hide a message, by the same: what a worker had that died at its very beginning comes
back so late; in 3 and in 24 min by the template."""

STREAM_LOST_S: Final = 4.0
"""How long an item may be without a status, with nothing broken, before an operator has intake look at the table."""

_AWS_AWAY: Final = (BotoCoreError, ClientError)

Say = Callable[[str], None]


def run(plan: Plan, folder: Path, say: Say = print) -> Findings:
    """Run a plan on a stack of its own, and count.

    Parameters
    ----------
    plan : Plan
        What is put in, and what is broken.
    folder : Path
        Where the plan, the results, the books, what is wrong, and the log of the embedded AWS are left.
    say : callable
        Takes a line at a time.

    Returns
    -------
    Findings
        What has come of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(plan.to_json(), encoding="utf-8")
    say(f"a run of size {plan.size.name}, seed {plan.seed}; its plan is {folder / 'plan.json'}")
    for moment in plan.moments:
        lasts = f" for {moment.for_s:g} s" if moment.for_s else ""
        share = f", {moment.share:.0%} of {'the calls' if moment.for_s else 'them'}" if moment.share else ""
        say(f"  at {moment.at_s:6.1f} s: {moment.act} {moment.target}{lasts}{share}")
    with World(plan) as world, deployment() as stack:
        stack.configure(world.providers_secret())
        for subscription in (*world.subscriptions(), *world.watchers(), *world.checked()):
            stack.put("SubscriptionsTable", **subscription)
        stack.hide_messages_for(HIDDEN_S[plan.size.refusals])
        try:
            with BusWatch(stack) as bus:
                running = _Run(plan, world, stack, bus, say)
                books = running.go()
            say(f"{running.elapsed_s():6.1f} s: settled, and the books are read; now for what is forbidden")
            refused = try_forbidden(world, stack)
            running.letters.look()
            say(f"{running.elapsed_s():6.1f} s: all of it refused or given up")
        finally:
            shutil.copy(stack.home.log, folder / "ministack.log")
        trespasses = tuple(f"{each.first_line!r} at {each.at:%H:%M:%S}" for each in world.tripped())
        books = replace(books, trespasses=trespasses, refused=refused, dead_letters=running.letters.all)
    (folder / "books.json").write_bytes(books.to_json())
    return recount(folder, say)


def recount(folder: Path, say: Say = print) -> Findings:
    """Count anew what a run has come to, from its plan and its books in a folder; parameters and result as of `run`."""
    plan = Plan.from_json((folder / "plan.json").read_text(encoding="utf-8"))
    books = Books.from_json((folder / "books.json").read_bytes())
    findings = replace(count(books), happened=report.happened(plan, books))
    report.tell(plan, findings, folder)
    problems = [f"{each.title}: {problem}" for each in findings.missed for problem in each.problems]
    (folder / "problems.txt").write_text("\n".join(problems), encoding="utf-8")
    for problem in problems[:50]:
        say(problem)
    return findings


class _Run:
    """One run, from the first put until everything is settled."""

    def __init__(self, plan: Plan, world: World, stack: Deployment, bus: BusWatch, say: Say) -> None:
        self._plan = plan
        self._world = world
        self._stack = stack
        self._bus = bus
        self._say = say
        self.letters = looking.Letters(stack)
        self._stream = looking.Stream(stack)
        self._put_at_ms: dict[str, int] = {}
        self._receivers = _receivers_of(plan, world)
        master = stack.master_secret()
        schemes = {each.subscription_id: SignatureScheme(each.signature) for each in plan.subscriptions}
        self._reader = Reader(
            {
                name: Keys.of(master, identifier, schemes.get(identifier, SignatureScheme.V1))
                for identifier, name in self._receivers.items()
            },
            {task.task_id for task in plan.tasks},
        )
        self._began_s = time.time()
        self._began_ms = now_ms()
        self._told_s = 0.0
        self._new_since_s: float | None = None
        self._moves = Moves()
        self._moved_s = 0.0
        self._late = {each.subscription_id: each for each in plan.subscriptions if each.is_late}
        self._replayed: dict[str, tuple[str, ...]] = {}
        self._all_archived = False
        self._checking = Checking(stack, lambda line: say(f"{self.elapsed_s():6.1f} s: {line}"))

    def go(self) -> Books:
        """Put the tasks while things break, wait until everything is settled, and bring the books together."""
        breaking = Breaking(self._stack, self._plan.moments, self._began_s, seed=self._plan.seed)
        putting = threading.Thread(target=self._put_all, name="putting", daemon=True)
        breaking.start()
        putting.start()
        self._checking.start()
        try:
            self._wait(putting, breaking)
        finally:
            breaking.stop()
            self._checking.end()
            self._checking.join()
        putting.join()
        self._look()
        replays = [
            look_again(self._stack, self._late[name], self._began_ms, asked)
            for name, asked in self._replayed.items()
        ]
        return gathered(
            self._plan,
            self._world,
            self._stack,
            put_at_ms=self._put_at_ms,
            receivers=self._receivers,
            reader=self._reader,
            ends=self._stream.ends,
            events=self._bus.seen(),
            done=breaking.done,
            replays=replays,
            checks=self._checking.checks,
        )

    def elapsed_s(self) -> float:
        """Return how long it has lasted."""
        return time.time() - self._began_s

    def _put_all(self) -> None:
        """Put each task at its moment, with what a user says of it; as a user, once more if AWS is away."""
        late = {each["subscription_id"]: each for each in self._world.subscriptions(late=True)}
        for task in sorted(self._plan.tasks, key=lambda each: each.put_at_s):
            time.sleep(max(task.put_at_s - self.elapsed_s(), 0))
            for name in [each for each in late if self._late[each].joins_at_s <= task.put_at_s]:
                self._put("SubscriptionsTable", late.pop(name))
            hook = self._world.hook_url(task)
            item = {"task_id": task.task_id, "provider": task.kind} | ({"notify_hook": hook} if hook else {})
            self._world.begin(task)
            self._put("TasksTable", item)
            self._put_at_ms[task.task_id] = now_ms()
        for item in late.values():
            self._put("SubscriptionsTable", item)

    def _put(self, table: str, item: Mapping[str, Any]) -> None:
        while True:
            try:
                self._stack.put(table, **item)
                return
            except _AWS_AWAY:
                time.sleep(1.0)

    def _replay(self) -> None:
        """Replay what the late subscriptions have missed, once all tasks have ended; once more where AWS fails."""
        for name, subscription in self._late.items():
            if name not in self._replayed:
                self._replayed[name] = replay(self._stack, subscription, self._began_ms)
                asked = len(self._replayed[name])
                self._say(f"{self.elapsed_s():6.1f} s: {asked} deliveries to {name} asked for by a replay")

    def _wait(self, putting: threading.Thread, breaking: Breaking) -> None:
        """Look on until everything is settled, or nothing moves any more."""
        settled = 0
        while settled < 2:
            time.sleep(LOOK_EVERY_S)
            breaking.check()
            is_over = not putting.is_alive() and breaking.is_over
            try:
                self._look()
                if self._all_archived and not putting.is_alive():
                    self._replay()
                settled = settled + 1 if self._is_settled() and is_over else 0
                if is_over:
                    # Their messages would never let the queues be empty.
                    self._checking.end()
                    self._mend_the_stream()
            except (*_AWS_AWAY, Unavailable) as error:
                settled = 0
                self._say(f"{self.elapsed_s():6.1f} s: AWS is away: {type(error).__name__}")
            if self.elapsed_s() - self._moved_s > QUIET_S[self._plan.size.refusals]:
                self._say(f"not settled after {self.elapsed_s():.0f} s, and nothing moves")
                return

    def _look(self) -> None:
        self._reader.verify(self._world.received())
        self._bus.seen()
        self._stream.look()
        self.letters.look()

    def _is_settled(self) -> bool:
        tasks = list(self._stack.items("TasksTable", "task_id", "status", "archived_at_ms"))
        made = list(self._stack.items("DeliveriesTable", "delivery_id", "subscription_id", "status", "type"))
        told = {WATCHER, *CHECKED, *(each.subscription_id for each in self._plan.gone)}
        # What tells of progress is owed to nobody, but ends like the others.
        deliveries = [
            each
            for each in made
            if each["subscription_id"] not in told
            and (not is_progress(each["delivery_id"]) or each["status"] == "pending")
        ]
        alerts = sum(
            (each["subscription_id"], each["type"]) == (WATCHER, "subscription.disabled") for each in made
        )
        statuses = Counter(str(each.get("status", "new")) for each in tasks)
        archived = sum("archived_at_ms" in each for each in tasks)
        # A check that AWS kept from its end may be left so.
        pending = sum(each["status"] == "pending" and each["subscription_id"] not in CHECKED for each in made)
        ended = sum(statuses[status] for status in ENDED)
        tasks, subscriptions = self._plan.tasks, self._plan.subscriptions
        wanted = sum(each.takes(task.task_id) for each in subscriptions for task in tasks)
        wanted += sum(task.hook for task in tasks)
        self._all_archived = archived == len(self._plan.tasks)
        received = min(len(self._world.received()), REQUESTS_MAX * wanted)
        settled = len(made) - pending
        taken_in = len(tasks) - statuses["new"]
        if self._moves.take((len(tasks), taken_in, ended, archived, len(made), settled, received)):
            self._moved_s = self.elapsed_s()
        if "new" not in statuses:
            self._new_since_s = None
        elif self._new_since_s is None:
            self._new_since_s = time.time()
        if self.elapsed_s() - self._told_s >= TELL_EVERY_S:
            self._told_s = self.elapsed_s()
            self._say(
                f"{self._told_s:6.1f} s: {len(self._put_at_ms)} of {len(self._plan.tasks)} tasks put,"
                f" {', '.join(f'{often} {status}' for status, often in sorted(statuses.items()))},"
                f" {archived} archived; {len(deliveries)} deliveries, {pending} pending"
            )
        return (
            archived == len(self._plan.tasks)
            and ended == len(tasks)
            and len(deliveries) >= wanted
            and alerts >= len(self._plan.gone)
            and not pending
            and looking.is_empty(self._stack)
        )

    def _mend_the_stream(self) -> None:
        """Have intake take in what is still without a status, as an operator would after a failure."""
        if self._new_since_s is None or time.time() - self._new_since_s < STREAM_LOST_S:
            return
        taken = self._stack.take_in_what_the_stream_lost().taken_in
        self._new_since_s = None
        self._say(
            f"{self.elapsed_s():6.1f} s: {taken} items that the embedded AWS's stream lost were taken in"
        )


def _receivers_of(plan: Plan, world: World) -> dict[str, str]:
    """Return the receivers' names by the ids of their subscriptions; a task's own hook has one too."""
    hooks = {world.hook_url(task): task.hook_name for task in plan.tasks if task.hook_name is not None}
    named = [WATCHER, *CHECKED, *(each.subscription_id for each in (*plan.subscriptions, *plan.gone))]
    return {each: each for each in named} | {
        notify_hook_subscription_id(url): name for url, name in hooks.items()
    }
