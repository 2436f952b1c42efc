"""What is counted when a run is over. Whatever must be 0 names each task or delivery that it is not 0 for."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any, Final

from tests.stack.faults.books import Books, Progress, Receipt, Record, Tried, Wanted, WantedFile
from tests.stack.faults.explaining import (
    CLOCKS_MS,
    is_halted_webhooks,
    is_held_up,
    is_sent_again,
    matched,
    why_dead,
    why_not_recorded,
    why_twice,
)

from tunehook.schedules import WAITS_S

ENDED: Final = ("completed", "failed")
PROGRESS_APART_MS: Final = 5_000
_ROUNDING: Final = 1e-6
_EVENT: Final = {"completed": "TaskCompleted", "failed": "TaskFailed"}


@dataclass(frozen=True, slots=True)
class Count:
    """Something that must be 0: out of how many, and what it is not 0 for."""

    name: str
    title: str
    of: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the slow end of some delays, in seconds."""

    p50_s: float
    p95_s: float

    @classmethod
    def of(cls, delays_ms: Sequence[float]) -> Spread:
        """Return that of delays in milliseconds, at least one."""
        cuts = quantiles(delays_ms, n=100, method="inclusive") if len(delays_ms) > 1 else [delays_ms[0]] * 99
        return cls(round(cuts[49] / 1000, 3), round(cuts[94] / 1000, 3))


@dataclass(frozen=True, slots=True)
class Findings:
    """What has come of a run.

    Attributes
    ----------
    counts : tuple of Count
        What must be 0.
    tasks, webhooks, requests : int
        How many tasks were put, how many webhooks had to come of them, how many requests the receivers got.
    progress : int
        How many requests beside these told of progress.
    twice : mapping of str to int
        The webhooks that were accepted once more, by what explains it.
    dead : mapping of str to int
        The messages in dead-letter queues, by what explains them.
    detection : Spread or None
        From a task's end at its provider, or from when it was put if that is later, to its end in its item.
    first_attempt : Spread or None
        From the event of a task's end to the first request at a receiver without a limit: the copying of its files
        lies in between.
    waiting : Spread or None
        From when a delivery was made to its first request, at a receiver without a limit.
    attempts : mapping of int to int
        Deliveries by how many requests they took.
    happened : mapping of str to int
        How often each fault has happened.
    """

    counts: tuple[Count, ...]
    tasks: int
    webhooks: int
    requests: int
    twice: Mapping[str, int] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    detection: Spread | None = None
    first_attempt: Spread | None = None
    waiting: Spread | None = None
    attempts: Mapping[int, int] = field(default_factory=dict)
    happened: Mapping[str, int] = field(default_factory=dict)
    progress: int = 0

    @property
    def missed(self) -> tuple[Count, ...]:
        """The counts that are not 0."""
        return tuple(count for count in self.counts if count.problems)

    def __getitem__(self, name: str) -> Count:
        return next(count for count in self.counts if count.name == name)


def count(books: Books) -> Findings:
    """Count what became of a run's tasks."""
    ledger = _Ledger(books)
    counts = tuple(
        Count(name, title, of(ledger), tuple(dict.fromkeys(problems(ledger))))
        for name, title, of, problems in COUNTED
    )
    return Findings(
        counts=counts,
        tasks=len(books.wanted),
        webhooks=len(ledger.pairs),
        requests=len(books.receipts),
        twice=Counter(why for _, why in ledger.twice if why is not None),
        dead=Counter(why for _, why in ledger.dead if why is not None),
        detection=_spread(ledger.detection_ms()),
        first_attempt=_spread(ledger.first_attempt_ms()),
        waiting=_spread(ledger.waiting_ms()),
        progress=sum(len(told.receipts) for told in books.progress),
        attempts=dict(sorted(Counter(len(each) for each in ledger.by_delivery.values()).items())),
    )


def _spread(delays_ms: Iterable[float]) -> Spread | None:
    delays = list(delays_ms)
    return Spread.of(delays) if delays else None


class _Ledger:
    """The books of a run, ordered for counting."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.wanted = {each.task_id: each for each in books.wanted}
        self.pairs = [(each, receiver) for each in books.wanted for receiver in sorted(each.receivers)]
        self.by_pair: dict[tuple[str, str], list[Receipt]] = defaultdict(list)
        self.by_delivery: dict[str, list[Receipt]] = defaultdict(list)
        for receipt in sorted(books.receipts, key=lambda each: each.at_ms):
            if not receipt.is_rest:
                self.by_pair[receipt.task_id, receipt.receiver].append(receipt)
            self.by_delivery[receipt.delivery_id].append(receipt)
        self.records = {record.delivery_id: record for record in books.records}
        self.record_of_pair = {
            (record.task_id, record.receiver): record for record in books.records if not record.is_rest
        }
        self.told_pending = {
            (record.task_id, record.receiver) for record in books.records if record.says_pending
        }
        self.told_the_rest = {(record.task_id, record.receiver) for record in books.records if record.is_rest}
        self.matches = {
            record.delivery_id: matched(record, self.by_delivery.get(record.delivery_id, ()))
            for record in books.records
        }
        self.served: dict[str, set[str]] = defaultdict(set)
        for serving in books.served:
            self.served[serving.path].add(serving.sha256)
        self.twice = list(self._twice())
        self.dead = [(letter, why_dead(letter, books.done)) for letter in books.dead_letters]

    def item(self, wanted: Wanted) -> Mapping[str, Any]:
        return self.books.items.get(wanted.name, {})

    def tasks_lost(self) -> Iterator[str]:
        for wanted in self.books.wanted:
            item = self.item(wanted)
            if not item:
                yield f"{wanted.name} has no item"
            elif item.get("status") in (None, "pending"):
                yield f"{wanted.name} is still {item.get('status', 'not taken in')}: {item.get('last_error', '')}"
            elif item.get("archived_at_ms") is None:
                yield f"{wanted.name} has ended, and nobody has looked after its files"

    def tasks_ended_wrongly(self) -> Iterator[str]:
        ends = defaultdict(set)
        for end in self.books.ends:
            ends[end.task_id].add(end)
        emitted = defaultdict(set)
        for event in self.books.emitted:
            if event.detail_type in _EVENT.values():
                emitted[event.task_id].add((event.detail_type, event.event_id))
        for wanted in self.books.wanted:
            item = self.item(wanted)
            status = item.get("status")
            if status not in (None, "pending", wanted.status):
                yield f"{wanted.name} is {status}, not {wanted.status}: {item.get('failure') or item.get('error')}"
            if len(ends[wanted.task_id]) > 1:
                yield f"{wanted.name} has changed its end: {sorted(map(str, ends[wanted.task_id]))}"
            told = emitted[wanted.task_id]
            if len(told) > 1:
                yield f"{wanted.name} has {len(told)} ends on the bus: {sorted(told)}"
            if told and not all(kind == _EVENT[wanted.status] for kind, _ in told):
                yield f"{wanted.name} is on the bus as {sorted(kind for kind, _ in told)}"
            if told and item and item.get("event_id") not in {event_id for _, event_id in told}:
                yield f"{wanted.name} has another event on the bus than in its item"
        for receipt in self.books.receipts:
            wanted_one = self.wanted.get(receipt.task_id)
            if wanted_one and receipt.told_status not in ("", wanted_one.status):
                yield f"{receipt.name} was told of as {receipt.told_status}"

    def events_missing(self) -> Iterator[str]:
        emitted = {(event.task_id, event.detail_type) for event in self.books.emitted}
        for wanted in self.books.wanted:
            for kind in (_EVENT[wanted.status], "TaskArchived"):
                if (wanted.task_id, kind) not in emitted:
                    yield f"{wanted.name} has no {kind} on the bus"

    def files(self) -> Iterator[tuple[Wanted, WantedFile]]:
        for wanted in self.books.wanted:
            for file in wanted.files:
                yield wanted, file

    def _digests(self, file: WantedFile) -> set[str]:
        """Return what its host has given whole as this file."""
        return {digest for path in file.paths for digest in self.served.get(path, ())}

    def assets_missing(self) -> Iterator[str]:
        for wanted, file in self.files():
            was_served = bool(self._digests(file))
            if not was_served and not file.is_served:
                continue
            name = f"{wanted.name}: {file.type} of {file.clip_id}"
            how = "was served whole" if was_served else "is there to be had"
            for place, assets in self._told_assets(wanted):
                asset = assets.get((file.clip_id, file.type), {})
                if asset.get("key") not in self.books.objects:
                    yield f"{name} {how}; by {place}: {asset.get('reason') or asset.get('key') or 'nothing'}"

    def objects_differ(self) -> Iterator[str]:
        told: dict[str, set[str]] = defaultdict(set)
        for receipt in self.books.receipts:
            for key, digest in receipt.told_files.items():
                told[key].add(digest)
        for wanted, file in self.files():
            for place, assets in self._told_assets(wanted):
                asset = assets.get((file.clip_id, file.type), {})
                key = asset.get("key")
                if key not in self.books.objects:
                    continue
                if self.books.objects[key] not in self._digests(file):
                    yield f"{wanted.name}: {key} has other bytes than the host"
                if self.books.objects[key] != asset.get("sha256"):
                    yield f"{wanted.name}: {key} has other bytes than {place} says"
        for key, digests in told.items():
            if key not in self.books.objects:
                yield f"{key} was told of, and is not there"
            elif digests != {self.books.objects[key]}:
                yield f"{key} has other bytes than a webhook says"

    def _told_assets(self, wanted: Wanted) -> Iterator[tuple[str, dict[tuple[str, str], Mapping[str, Any]]]]:
        places = (
            ("its item", self.item(wanted)),
            ("its manifest", self.books.manifests.get(wanted.name, {})),
        )
        for place, content in places:
            yield place, {(each["clip_id"], each["type"]): each for each in content.get("assets", ())}

    def deliveries_lost(self) -> Iterator[str]:
        for wanted, receiver in self.pairs:
            record = self.record_of_pair.get((wanted.task_id, receiver))
            if record is not None and record.status == "pending":
                continue
            if not any(receipt.is_accepted for receipt in self.by_pair[wanted.task_id, receiver]):
                state = "no record" if record is None else f"{record.delivery_id}, {record.status}"
                yield f"{wanted.name} never came to {receiver} ({state})"
        for task_id, receiver in sorted(self.told_pending - self.told_the_rest):
            yield f"task {task_id} was told to {receiver} while its files were waited for, and the rest never was"

    def deliveries_unfinished(self) -> Iterator[str]:
        for record in self.books.records:
            accepted = any(receipt.is_accepted for receipt in self.by_delivery.get(record.delivery_id, ()))
            if record.status == "pending":
                yield f"{record.name} is still pending after {len(record.attempts)} attempts"
            elif record.status != "delivered" and accepted:
                yield f"{record.name} was accepted and is {record.status}"

    def deliveries_excluded(self) -> Iterator[str]:
        for record in self.books.records:
            wanted = self.wanted.get(record.task_id)
            if wanted is not None and record.receiver not in wanted.receivers:
                yield f"{record.name} was made, and {record.receiver} is not to be told of it"

    def deliveries_unasked(self) -> Iterator[str]:
        asked = {(wanted.task_id, receiver) for wanted, receiver in self.pairs}
        for task_id, receiver in sorted(self.told_the_rest - self.told_pending):
            yield f"task {task_id} was told to {receiver} once more, who had been told of all files"
        ids: dict[tuple[str, str, bool], set[str]] = defaultdict(set)
        for receipt in self.books.receipts:
            pair = (receipt.task_id, receipt.receiver)
            ids[*pair, receipt.is_rest].add(receipt.delivery_id)
            if pair not in asked:
                yield f"{receipt.name} was for somebody else"
            elif receipt.delivery_id not in self.records:
                yield f"{receipt.name} is of no record"
        for (task_id, receiver, _), found in ids.items():
            if len(found) > 1:
                yield f"task {task_id} came to {receiver} under {len(found)} ids: {sorted(found)}"

    def signatures_wrong(self) -> Iterator[str]:
        for receipt in self.books.receipts:
            if receipt.fault:
                yield f"{receipt.name}: {receipt.fault}"
        for trouble in self.books.troubles:
            if trouble.fault:
                yield f"{trouble.name}: {trouble.fault}"

    def troubles_owed(self) -> Iterator[tuple[str, str]]:
        """Yield who is to be told that which subscription was disabled."""
        for watcher in self.books.watchers:
            for subscription_id in sorted({*self.books.gone, *self.books.disabled}):
                yield watcher, subscription_id

    def troubles_lost(self) -> Iterator[str]:
        told = {
            (each.receiver, each.about)
            for each in self.books.troubles
            if each.type == "subscription.disabled" and each.is_accepted
        }
        for watcher, subscription_id in self.troubles_owed():
            if subscription_id not in self.books.disabled:
                yield f"{subscription_id} is not disabled, although its receiver wants no more"
            if (watcher, subscription_id) not in told:
                yield f"{watcher} was never told that {subscription_id} is disabled"

    def troubles_twice(self) -> Iterator[str]:
        ids: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for each in self.books.troubles:
            if each.type == "subscription.disabled":
                ids[each.receiver, each.type, each.about].add(each.delivery_id)
        for (receiver, kind, about), found in ids.items():
            if len(found) > 1:
                yield f"{receiver} was told of {kind} about {about} under {len(found)} ids: {sorted(found)}"

    def troubles_of_itself(self) -> Iterator[str]:
        for each in self.books.troubles:
            if each.about == each.receiver:
                yield each.name

    def requests_forbidden(self) -> Iterator[str]:
        yield from self.books.trespasses

    def refusals_missing(self) -> Iterator[str]:
        for refused in self.books.refused:
            if not refused.on_record:
                yield f"{refused.what}: nothing says that it was refused"

    def _twice(self) -> Iterator[tuple[str, str | None]]:
        """Yield each acceptance of a delivery beyond its first: which one, and what explains it."""
        for delivery_id, receipts in self.by_delivery.items():
            accepted = [receipt for receipt in receipts if receipt.is_accepted]
            attempt_of = {
                id(receipt): tried
                for tried, receipt in self.matches.get(delivery_id, ())
                if receipt is not None
            }
            for earlier, later in itertools.pairwise(accepted):
                why = why_twice(earlier, attempt_of.get(id(earlier)), later, self.books.done)
                yield f"{later.name}, {(later.at_ms - earlier.at_ms) / 1000:.1f} s after the first", why

    def twice_unexplained(self) -> Iterator[str]:
        for name, why in self.twice:
            if why is None:
                yield name

    def dead_unexplained(self) -> Iterator[str]:
        for letter, why in self.dead:
            if why is None:
                yield f"a message of the {letter.function}: {letter.text[:300]}"

    def attempts_differ(self) -> Iterator[str]:
        for record in self.books.records:
            receipts = self.by_delivery.get(record.delivery_id, [])
            for tried, receipt in self.matches[record.delivery_id]:
                if tried is not None and tried.status_code is not None and receipt is None:
                    yield f"{record.name}: an attempt answered {tried.status_code} that no receiver saw"
                if tried is None and receipt is not None:
                    later = next(
                        (each.at_ms for each in receipts if each.at_ms > receipt.at_ms), float("inf")
                    )
                    if is_sent_again(record, receipt, later):
                        continue
                    if why_not_recorded(receipt, later, self.books.done) is None:
                        yield f"{record.name}: a request answered {receipt.status} that no record tells of"
            last = max(record.attempts, key=lambda each: each.at_ms, default=None)
            if record.status == "delivered" and (last is None or not 200 <= (last.status_code or 0) <= 299):
                yield f"{record.name} is delivered by an attempt that was not accepted"

    def waits(self) -> Iterator[tuple[Record, Tried, float, int]]:
        """Yield the attempts after the first of each run: how long they waited in ms, and their waits in s.

        An attempt begins when its receiver gets its request, and ends with the answer; where its receiver has seen
        none, or has answered too late, as its record says. Those beyond the schedule have no wait.
        """
        for record in self.books.records:
            waits_s = self.schedule(record)
            seen = {
                (tried.run, tried.attempt): (tried, receipt)
                for tried, receipt in self.matches[record.delivery_id]
                if tried is not None
            }
            for (run, number), (before, answered) in seen.items():
                tried, receipt = seen.get((run, number + 1), (None, None))
                if tried is None or number > len(waits_s):
                    continue
                ended_ms = before.at_ms + before.duration_ms
                if answered is not None and answered.answered_at_ms is not None:
                    ended_ms = min(ended_ms, answered.answered_at_ms)
                began_ms = tried.at_ms if receipt is None else receipt.at_ms
                yield record, tried, began_ms - ended_ms, waits_s[number - 1]

    def schedule(self, record: Record) -> tuple[int, ...]:
        """Return the waits in seconds between the attempts of a delivery."""
        return self.books.schedules.get(record.receiver, WAITS_S)

    def attempts_early(self) -> Iterator[str]:
        for record, tried, waited_ms, wait_s in self.waits():
            if waited_ms < wait_s * 1000 - CLOCKS_MS:
                yield f"{record.name}: attempt {tried.attempt} after {waited_ms / 1000:.3f} s, not {wait_s} s"

    def attempts_beyond(self) -> Iterator[str]:
        for record in self.books.records:
            most = len(self.schedule(record)) + 1
            for run, often in Counter(tried.run for tried in record.attempts).items():
                last = max(tried.attempt for tried in record.attempts if tried.run == run)
                if max(often, last) > most:
                    yield f"{record.name}: {max(often, last)} attempts in run {run}, where there may be {most}"

    def begun(self, receiver: str) -> list[tuple[int, str]]:
        """Return when the attempts at a receiver began, oldest first, and whose they were.

        That is when the request came. Where it came later than clocks explain, as a worker was halted on the way or
        the receiver was busy, or never came, it is what the record says; without a record, a halt leaves it open.
        """
        begun = []
        for record in self.books.records:
            if record.receiver != receiver:
                continue
            receipts = self.by_delivery.get(record.delivery_id, [])
            for tried, receipt in self.matches[record.delivery_id]:
                if tried is not None:
                    is_late = receipt is None or receipt.at_ms > tried.at_ms + CLOCKS_MS
                    begun.append((tried.at_ms if is_late or receipt is None else receipt.at_ms, record.name))
                elif receipt is not None:
                    later = next(
                        (each.at_ms for each in receipts if each.at_ms > receipt.at_ms), float("inf")
                    )
                    is_counted = is_sent_again(record, receipt, later)
                    if not is_counted and not is_held_up(receipt, later, self.books.done):
                        begun.append((receipt.at_ms, record.name))
        return sorted(begun)

    def beyond_the_limit(self) -> Iterator[str]:
        """Fill up what the contract allows, ``limit * (T + 1) + 1`` in T seconds, and take one out for each attempt."""
        for receiver, limit in self.books.limits.items():
            most = limit * (1 + CLOCKS_MS / 1000) + 1
            left, before_ms = most, 0
            for at_ms, name in self.begun(receiver):
                left = min(left + limit * (at_ms - before_ms) / 1000, most)
                before_ms = at_ms
                if left < 1 - _ROUNDING:
                    yield f"{name}: began at {at_ms}, where {limit:g} a second leave {left:.2f} of an attempt"
                else:
                    left -= 1

    def replays_idle(self) -> Iterator[str]:
        for replay in self.books.replays:
            if not replay.asked:
                yield f"a replay for {replay.receiver} found nothing that was never made"

    def replays_incomplete(self) -> Iterator[str]:
        for replay in self.books.replays:
            for delivery_id in replay.left:
                yield f"{delivery_id} to {replay.receiver} was never made, and a replay has left it out"

    def replays_excluded(self) -> Iterator[str]:
        for replay in self.books.replays:
            for delivery_id in dict.fromkeys(replay.asked):
                record = self.records.get(delivery_id)
                wanted = None if record is None else self.wanted.get(record.task_id)
                if wanted is not None and replay.receiver not in wanted.receivers:
                    yield f"{delivery_id} was replayed to {replay.receiver}, whose filter excludes {wanted.name}"

    def progress_late(self) -> Iterator[str]:
        """An attempt is begun once its task's item was read; what was begun once a receiver knew of the end is late."""
        end_told_ms: dict[str, int] = {}
        for receipt in self.books.receipts:
            end_told_ms[receipt.task_id] = min(receipt.at_ms, end_told_ms.get(receipt.task_id, receipt.at_ms))
        for told in self.books.progress:
            begun_ms, ended_ms = told.begun_ms, end_told_ms.get(told.record.task_id)
            if begun_ms is None or ended_ms is None or begun_ms <= ended_ms:
                continue
            if not is_halted_webhooks(self.books.done, ended_ms, begun_ms):
                yield f"{told.record.name}: begun {begun_ms - ended_ms} ms after a receiver knew the end"

    def progress_close(self) -> Iterator[str]:
        begun: dict[tuple[str, str], list[tuple[int, Progress]]] = defaultdict(list)
        for told in self.books.progress:
            if (begun_ms := told.begun_ms) is not None:
                begun[told.record.task_id, told.record.receiver].append((begun_ms, told))
        for each in begun.values():
            ordered = sorted(each, key=lambda one: one[0])
            for (earlier_ms, _), (later_ms, told) in itertools.pairwise(ordered):
                if later_ms - earlier_ms >= PROGRESS_APART_MS:
                    continue
                if not is_halted_webhooks(self.books.done, earlier_ms, later_ms):
                    yield f"{told.record.name}: begun {later_ms - earlier_ms} ms after the one before"

    def progress_repeated(self) -> Iterator[str]:
        for told in self.books.progress:
            often = max(len(told.receipts), len(told.record.attempts))
            if often > 1:
                yield f"{told.record.name}: sent {often} times"

    def progress_unasked(self) -> Iterator[str]:
        for told in self.books.progress:
            if not told.is_asked:
                yield f"{told.record.name}: its receiver has not asked for it"
            if told.record.status == "no record":
                yield f"{told.record.name} is of no record"
            if told.record.status == "pending":
                yield f"{told.record.name} is still pending"

    def progress_unsigned(self) -> Iterator[str]:
        for told in self.books.progress:
            for receipt in told.receipts:
                if receipt.fault:
                    yield f"{receipt.name}: {receipt.fault}"

    def checks_wrong(self) -> Iterator[str]:
        """What a check says must be what its receiver did; one whose worker died says that it knows nothing."""
        for check in self.books.checks:
            if check.passed and not any(each.is_accepted for each in check.receipts):
                yield f"{check.name}: it passed, and its receiver accepted nothing"
            if check.status is not None and check.status not in {each.status for each in check.receipts}:
                yield f"{check.name}: {check.status}, which its receiver did not answer"
            if check.is_enabled != check.passed:
                was = "enabled" if check.is_enabled else "not enabled"
                yield f"{check.name}: its subscription was {was} afterwards"

    def checks_repeated(self) -> Iterator[str]:
        for check in self.books.checks:
            often = max(len(check.receipts), check.attempts)
            if often > 1:
                yield f"{check.name}: sent {often} times"
            if check.ended_as in ("pending", "no record"):
                yield f"{check.name}: its record is {check.ended_as}"

    def checks_counted(self) -> Iterator[str]:
        for name in self.books.failing:
            yield f"{name} counts as failing by checks"

    def checks_unsigned(self) -> Iterator[str]:
        for check in self.books.checks:
            for receipt in check.receipts:
                if receipt.fault:
                    yield f"{check.name}: {receipt.fault}"

    def detection_ms(self) -> Iterator[float]:
        for wanted in self.books.wanted:
            detected_ms = self.item(wanted).get("detected_at_ms")
            if detected_ms is not None and wanted.ended_at_ms is not None:
                yield max(detected_ms - max(wanted.ended_at_ms, wanted.put_at_ms), 0)

    def _first_receipts(self) -> Iterator[tuple[Record, Receipt]]:
        for delivery_id, receipts in self.by_delivery.items():
            record = self.records.get(delivery_id)
            if record is not None and record.receiver not in self.books.limits:
                yield record, receipts[0]

    def first_attempt_ms(self) -> Iterator[float]:
        for record, receipt in self._first_receipts():
            wanted = self.wanted.get(record.task_id)
            detected_ms = self.item(wanted).get("detected_at_ms") if wanted else None
            if detected_ms is not None:
                yield receipt.at_ms - detected_ms

    def waiting_ms(self) -> Iterator[float]:
        for record, receipt in self._first_receipts():
            yield receipt.at_ms - record.created_at_ms


_Of = Callable[[_Ledger], int]
_Problems = Callable[[_Ledger], Iterator[str]]


def _tasks(ledger: _Ledger) -> int:
    return len(ledger.books.wanted)


def _files(ledger: _Ledger) -> int:
    return sum(1 for _ in ledger.files())


def _webhooks(ledger: _Ledger) -> int:
    return len(ledger.pairs)


def _requests(ledger: _Ledger) -> int:
    return len(ledger.books.receipts)


def _limited(ledger: _Ledger) -> int:
    return sum(len(ledger.begun(receiver)) for receiver in ledger.books.limits)


def _replayed(ledger: _Ledger) -> int:
    return len({each for replay in ledger.books.replays for each in replay.asked})


def _progress(ledger: _Ledger) -> int:
    return len(ledger.books.progress)


def _checks(ledger: _Ledger) -> int:
    return len(ledger.books.checks)


COUNTED: Final[tuple[tuple[str, str, _Of, _Problems], ...]] = (
    ("tasks_lost", "tasks lost", _tasks, _Ledger.tasks_lost),
    ("tasks_ended_wrongly", "tasks ended twice or wrongly", _tasks, _Ledger.tasks_ended_wrongly),
    ("events_missing", "events never emitted", lambda ledger: 2 * _tasks(ledger), _Ledger.events_missing),
    ("assets_missing", "files missing although their host served them", _files, _Ledger.assets_missing),
    (
        "objects_differ",
        "objects whose bytes differ",
        lambda ledger: len(ledger.books.objects),
        _Ledger.objects_differ,
    ),
    ("deliveries_lost", "webhooks lost", _webhooks, _Ledger.deliveries_lost),
    (
        "deliveries_unfinished",
        "deliveries whose record has no right end",
        _webhooks,
        _Ledger.deliveries_unfinished,
    ),
    ("deliveries_unasked", "webhooks that nobody asked for", _requests, _Ledger.deliveries_unasked),
    (
        "deliveries_excluded",
        "deliveries that a filter excludes",
        lambda ledger: len(ledger.books.records),
        _Ledger.deliveries_excluded,
    ),
    ("signatures_wrong", "wrong or missing signatures", _requests, _Ledger.signatures_wrong),
    (
        "requests_forbidden",
        "requests to forbidden addresses",
        lambda ledger: len(ledger.books.refused),
        _Ledger.requests_forbidden,
    ),
    (
        "refusals_missing",
        "refusals that are not on record",
        lambda ledger: len(ledger.books.refused),
        _Ledger.refusals_missing,
    ),
    (
        "twice_unexplained",
        "webhooks accepted twice that nothing explains",
        _webhooks,
        _Ledger.twice_unexplained,
    ),
    (
        "dead_unexplained",
        "dead letters that nothing explains",
        lambda ledger: len(ledger.books.dead_letters),
        _Ledger.dead_unexplained,
    ),
    (
        "attempts_early",
        "attempts earlier than the schedule has them",
        lambda ledger: sum(1 for _ in ledger.waits()),
        _Ledger.attempts_early,
    ),
    (
        "attempts_beyond",
        "deliveries with more attempts than the schedule has",
        lambda ledger: len(ledger.books.records),
        _Ledger.attempts_beyond,
    ),
    ("beyond_the_limit", "webhooks beyond the rate", _limited, _Ledger.beyond_the_limit),
    (
        "replays_idle",
        "replays that found nothing to make",
        lambda ledger: len(ledger.books.replays),
        _Ledger.replays_idle,
    ),
    ("replays_incomplete", "webhooks that a replay left out", _replayed, _Ledger.replays_incomplete),
    ("replays_excluded", "webhooks replayed that a filter excludes", _replayed, _Ledger.replays_excluded),
    (
        "troubles_lost",
        "disabled subscriptions that a subscriber was not told of",
        lambda ledger: sum(1 for _ in ledger.troubles_owed()),
        _Ledger.troubles_lost,
    ),
    (
        "troubles_twice",
        "disabled subscriptions that a subscriber was told of under two ids",
        lambda ledger: sum(1 for _ in ledger.troubles_owed()),
        _Ledger.troubles_twice,
    ),
    (
        "troubles_of_itself",
        "operational webhooks to the subscription that they are about",
        lambda ledger: len(ledger.books.troubles),
        _Ledger.troubles_of_itself,
    ),
    ("progress_late", "progress begun once the end was known", _progress, _Ledger.progress_late),
    ("progress_close", "progress within 5 s of the one before", _progress, _Ledger.progress_close),
    ("progress_repeated", "progress sent more than once", _progress, _Ledger.progress_repeated),
    (
        "progress_unasked",
        "progress that nobody asked for, or without an end",
        _progress,
        _Ledger.progress_unasked,
    ),
    ("progress_unsigned", "progress with a wrong or missing signature", _progress, _Ledger.progress_unsigned),
    ("checks_wrong", "checks that say other than their receiver did", _checks, _Ledger.checks_wrong),
    ("checks_repeated", "checks sent more than once, or without an end", _checks, _Ledger.checks_repeated),
    ("checks_counted", "subscriptions failing by checks alone", _checks, _Ledger.checks_counted),
    ("checks_unsigned", "checks with a wrong or missing signature", _checks, _Ledger.checks_unsigned),
    ("attempts_differ", "attempts whose record and receiver differ", _requests, _Ledger.attempts_differ),
)
"""What must be 0: its name, what people call it, out of how many it is, and what finds what is wrong."""
