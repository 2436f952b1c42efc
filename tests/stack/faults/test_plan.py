from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from tests.stack.faults import troubles
from tests.stack.faults.dice import Dice
from tests.stack.faults.drawing import CALLS, FUNCTIONS, draw
from tests.stack.faults.links import paths_of
from tests.stack.faults.media import LARGEST_BYTES, SMALLEST_BYTES, Media
from tests.stack.faults.plan import LONG, SHORT, Plan, Size

from fulfillment.download import WAITS_S
from tunehook.aws.leases import LEASE_MS
from tunehook.event_patterns import EventPattern
from tunehook_local.sandbox import Scenario, parse

SEEDS = range(20)


@pytest.fixture(scope="module")
def plans() -> list[Plan]:
    return [draw(seed, SHORT) for seed in SEEDS]


@pytest.fixture(scope="module")
def long() -> Plan:
    return draw(1, LONG)


@pytest.mark.parametrize("size", [SHORT, LONG], ids=lambda size: size.name)
def test_the_same_seed_gives_the_same_plan(size: Size) -> None:
    assert draw(7, size) == draw(7, size)


def test_another_seed_gives_another_plan() -> None:
    assert draw(7, SHORT) != draw(8, SHORT)


def test_chance_is_the_same_whatever_python_draws_it() -> None:
    dice = Dice(1)
    drawn = (
        dice.number(0, 60),
        dice.whole(1, 6),
        dice.pick("abcdef"),
        dice.shuffled(range(6)),
        dice.chance(0.5),
    )
    assert drawn == (8.062, 6, "e", [1, 3, 2, 4, 5, 0], True)


@pytest.mark.parametrize("size", [SHORT, LONG], ids=lambda size: size.name)
def test_a_plan_comes_back_from_its_json(size: Size) -> None:
    plan = draw(7, size)
    assert Plan.from_json(plan.to_json()) == plan


def test_there_are_as_many_tasks_as_the_size_says(plans: list[Plan], long: Plan) -> None:
    assert {len(plan.tasks) for plan in plans} == {60}
    assert len(long.tasks) == 2000


def test_the_three_kinds_have_a_third_of_the_tasks_each(plans: list[Plan]) -> None:
    for plan in plans:
        assert Counter(task.kind for task in plan.tasks) == {"musicmint": 20, "qhaigc": 20, "suno": 20}


def test_a_third_of_the_tasks_has_a_hook(plans: list[Plan], long: Plan) -> None:
    assert {sum(task.hook for task in plan.tasks) for plan in plans} == {20}
    assert sum(task.hook for task in long.tasks) == 666


def test_no_two_tasks_have_the_same_id(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        assert len({task.task_id for task in plan.tasks}) == len(plan.tasks)


def test_tasks_and_moments_come_in_the_order_of_time(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        puts = [task.put_at_s for task in plan.tasks]
        moments = [moment.at_s for moment in plan.moments]
        assert puts == sorted(puts)
        assert moments == sorted(moments)
        assert puts[-1] <= plan.size.put_within_s
        assert moments[-1] <= 1.2 * plan.size.put_within_s


def test_one_subscription_of_each_format_takes_everything_and_one_has_a_filter(plans: list[Plan]) -> None:
    for plan in plans:
        whole = [each for each in plan.subscriptions if each.only is None and not each.events]
        assert sorted(each.format for each in whole) == ["cloudevents", "provider", "standard"]
        filtered = [each for each in plan.subscriptions if each.only is not None]
        assert [each.is_late for each in filtered] == [False, True]
        for some in filtered:
            pattern = EventPattern.read(some.fields["filter"])
            taken = [some.takes(task.task_id) for task in plan.tasks]
            assert taken == [pattern.matches({"task_id": task.task_id}) for task in plan.tasks]
            assert {True, False} == set(taken)
        late = filtered[1]
        before = [task for task in plan.tasks if late.takes(task.task_id) and task.put_at_s < late.joins_at_s]
        assert before, "a replay has something to make"


def test_every_signature_and_schedules_of_their_own_are_there(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        whole = [each for each in plan.subscriptions if each.only is None and not each.events]
        assert sorted(each.signature for each in whole) == [
            "both",
            "v1",
            "v1a",
        ]
        schedules = [each.retry_schedule for each in plan.subscriptions if each.retry_schedule]
        assert len(schedules) == 2
        # A receiver refuses a delivery so often, and a halted worker lets attempts fail that it would have taken.
        assert all(len(waits_s) >= plan.size.refusals + 3 for waits_s in schedules)


def test_one_subscription_has_a_limit_that_a_run_has_time_for(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        (limit,) = (each.max_per_second for each in plan.subscriptions if each.max_per_second)
        assert limit == plan.size.per_second
        # As many as there are to make are made before the last task would have to be given up.
        assert plan.size.tasks / limit < 2 * plan.size.put_within_s


def test_every_fault_is_met_by_a_task(plans: list[Plan], long: Plan) -> None:
    planned = {f"provider:{word}" for word in troubles.PROVIDER}
    planned |= {f"asset:{word}" for word in troubles.ASSET}
    planned |= {f"receiver:{word}" for word in (*troubles.RECEIVER, troubles.HANG)}
    for plan in (*plans, long):
        assert {word for task in plan.tasks for word in task.trouble} == planned


def test_every_kind_of_provider_has_every_fault(plans: list[Plan]) -> None:
    for plan in plans:
        met = {
            (task.kind, word) for task in plan.tasks for word in task.trouble if word.startswith("provider")
        }
        assert len(met) == 3 * len(troubles.PROVIDER)


def test_some_tasks_of_every_kind_fail_at_their_provider(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        ends = {(task.kind, task.status) for task in plan.tasks}
        assert len(ends) == 6


def test_a_task_ends_at_its_provider_as_it_must_end(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        for task in plan.tasks:
            phases = {answer.get("phase") for answer in task.rule["answers"]}
            assert task.rule["answers"][-1]["phase"] == task.status
            assert phases & {"completed", "failed"} == {task.status}


def test_no_task_is_lost_for_longer_than_it_is_waited_for(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        for task in plan.tasks:
            lost = [answer for answer in task.rule["answers"] if answer.get("phase") == "not_found"]
            assert sum(answer["times"] for answer in lost) <= 2


def test_no_key_is_refused(long: Plan) -> None:
    answers = [answer for task in long.tasks for answer in task.rule["answers"]]
    assert not [answer for answer in answers if answer.get("status") in (401, 403)]
    assert not [answer for answer in answers if answer.get("phase") == "unauthorised"]


def test_a_phase_gives_way_by_time_or_after_a_question_of_its_own(long: Plan) -> None:
    # A list of many tasks looks at an answer without counting it as given.
    for task in long.tasks:
        for answer in task.rule["answers"]:
            is_plain = set(answer) <= {"phase", "times", "until_s", "reason", "clips"}
            assert not (is_plain and "times" in answer and answer["phase"] != "not_found")


def test_some_tasks_of_each_kind_in_a_short_run_go_on_for_several_questions(plans: list[Plan]) -> None:
    for plan in plans:
        calm = [task for task in plan.tasks if not any(word.startswith("provider") for word in task.trouble)]
        watched = [task for task in calm if len(task.rule["answers"]) == 4]
        assert Counter(task.kind for task in watched).keys() == {"musicmint", "qhaigc", "suno"}
        assert len(watched) >= 10
        for task in watched:
            phases = [answer["phase"] for answer in task.rule["answers"]]
            assert phases == ["queued", "processing", "processing", task.status]


def refusals(plan: Plan) -> Iterator[tuple[str, int]]:
    for asset in plan.assets:
        yield asset.word, sum(answer.get("times", 0) for answer in asset.answers)


def test_a_link_is_not_refused_for_good(long: Plan) -> None:
    statuses = {answer.get("status") for asset in long.assets for answer in asset.answers} - {None}
    assert statuses == {403, 404, 408, 425, 429, 500, 503}


def test_in_a_short_run_a_file_comes_in_the_first_pass(plans: list[Plan]) -> None:
    for plan in plans:
        assert all(count < len(WAITS_S) for _, count in refusals(plan))


def test_in_a_long_run_some_files_have_to_be_waited_for(long: Plan) -> None:
    assert any(count >= len(WAITS_S) for _, count in refusals(long))


def test_files_in_trouble_are_files_of_tasks_that_have_some(plans: list[Plan]) -> None:
    for plan in plans:
        links = {path for task in plan.tasks for paths in paths_of(task).values() for path in paths}
        assert {asset.path for asset in plan.assets} <= links


def test_a_file_is_cut_before_its_end(long: Plan) -> None:
    media = Media(long.seed)
    for asset in long.assets:
        for answer in asset.answers:
            assert answer.get("cut_after_bytes", 0) < media.size(asset.path)


def test_a_delivery_is_refused_as_often_as_the_size_allows(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        assert max(len(each.answers) for each in plan.receivers) == plan.size.refusals


def test_some_receivers_want_no_more_of_a_task_that_completes(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        completed = {task.task_id for task in plan.tasks if task.status == "completed"}
        assert {each.task_id for each in plan.gone} <= completed
        assert len({each.subscription_id for each in plan.gone}) == (12 if plan is long else 2)


def test_other_receivers_never_say_that_they_want_no_more(long: Plan) -> None:
    answers = [answer for each in long.receivers for answer in each.answers]
    assert not [answer for answer in answers if answer.get("status") == 410]


def test_what_hangs_is_a_receiver_of_its_own(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        hanging = [each.receiver for each in plan.receivers if each.word == "hang"]
        assert len(hanging) == plan.size.hangs
        for name in hanging:
            assert [task.hook_name for task in plan.tasks].count(name) == 1


def test_a_short_run_resets_no_receiver_often_enough_to_shut_it_out(plans: list[Plan]) -> None:
    for plan in plans:
        resets = Counter(each.receiver for each in plan.receivers if each.word == "reset")
        assert all(count < 3 for count in resets.values())


def test_a_redirect_leads_to_the_tripwire(long: Plan) -> None:
    answers = [answer for each in long.receivers for answer in each.answers]
    redirects = [answer for answer in answers if 300 <= answer.get("status", 0) < 400]
    assert redirects
    assert all(answer["headers"]["location"].startswith(troubles.TRIPWIRE) for answer in redirects)


def test_every_function_is_killed(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        kills = Counter(moment.target for moment in plan.moments if moment.act == "kill")
        assert kills == dict.fromkeys(FUNCTIONS, plan.size.kills)


def test_every_service_is_disturbed_and_every_act_done(plans: list[Plan], long: Plan) -> None:
    services = {target.partition(":")[0] for target in CALLS}
    acts = {act for acts in CALLS.values() for act in acts}
    for plan in (*plans, long):
        windows = [moment for moment in plan.moments if moment.act in acts]
        assert len(windows) == plan.size.windows
        assert {moment.target.partition(":")[0] for moment in windows} == services
        assert {moment.act for moment in windows} == acts


def test_every_function_is_halted(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        halts = Counter(moment.target for moment in plan.moments if moment.act == "halt")
        assert halts == dict.fromkeys(FUNCTIONS, plan.size.halts)
        assert all(moment.for_s > 0 for moment in plan.moments if moment.act == "halt")


def test_in_a_long_run_a_worker_is_halted_for_longer_than_a_lease_lasts(long: Plan) -> None:
    assert max(moment.for_s * 1000 for moment in long.moments if moment.act == "halt") > LEASE_MS


def test_users_edit_items_and_move_subscriptions(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        edits = [moment for moment in plan.moments if moment.act == "edit"]
        moved = [moment.target for moment in plan.moments if moment.act == "move"]
        assert (len(edits), len(moved)) == (plan.size.edits, plan.size.moves)
        assert all(0 < moment.share < 1 for moment in edits)
        assert set(moved) <= {each.subscription_id for each in plan.subscriptions}


def test_the_answers_of_conditional_writes_are_lost_in_every_run(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        assert ("unanswered", "dynamodb:UpdateItem") in {(each.act, each.target) for each in plan.moments}


def test_in_a_short_run_workers_can_keep_their_messages(plans: list[Plan]) -> None:
    targets = {moment.target for plan in plans for moment in plan.moments}
    assert not [target for target in targets if "ChangeMessageVisibility" in target]


def test_a_long_run_meets_every_act_on_every_call(long: Plan) -> None:
    planned = {(moment.act, moment.target) for moment in long.moments}
    assert planned >= {(act, target) for target, acts in CALLS.items() for act in acts}


def test_aws_is_started_again_once_in_a_long_run_alone(plans: list[Plan], long: Plan) -> None:
    assert [moment.act for moment in long.moments].count("restart") == 1
    assert not [moment for plan in plans for moment in plan.moments if moment.act == "restart"]


def test_the_sandbox_takes_every_rule(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans[:3], long):
        document = {
            "tasks": [task.rule for task in plan.tasks],
            "query_many": list(plan.query_many),
            "assets": [{"path": each.path, "answers": each.answers} for each in plan.assets],
            "receivers": [{"name": each.receiver, "answers": each.answers} for each in plan.receivers],
        }
        assert len(parse(Scenario, document).tasks) == len(plan.tasks)


def test_files_have_from_10_kb_to_5_mb(long: Plan) -> None:
    media = Media(long.seed)
    sizes = sorted(media.size(paths[0]) for task in long.tasks for paths in paths_of(task).values())
    assert SMALLEST_BYTES <= sizes[0] < 10_100
    assert 4_900_000 < sizes[-1] <= LARGEST_BYTES


def test_one_subscription_is_told_of_progress_alone_and_refuses_some(plans: list[Plan], long: Plan) -> None:
    for plan in (*plans, long):
        (progress,) = (each for each in plan.subscriptions if each.events)
        assert progress.fields == {"events": ["task.progress"]}
        assert not any(progress.takes(task.task_id) for task in plan.tasks)
        refused = [each for each in plan.receivers if each.receiver == progress.subscription_id]
        assert {each.word for each in refused} == {"5xx"}
        assert len(refused) == len(plan.tasks) // 5
