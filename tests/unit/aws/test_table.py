"""One update and one creation in a transaction; what else the table does is shown by those who use it."""

from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr
from botocore.exceptions import ClientError, ReadTimeoutError
from tests.support.aws import Faulty, Losing, client, create_table, fault, items, put

from tunehook.aws.table import Parameter, PreparedCondition, Table, Transaction
from tunehook.errors import Unavailable

STATE: dict[str, Any] = {"provider": "gw", "state": "begun"}
DONE = STATE | {"state": "done", "task": "task-1"}
TASK: dict[str, Any] = {"task_id": "task-1", "provider": "gw", "metadata": {"price": 1.5}}


@pytest.fixture(autouse=True)
def tables(aws: None) -> None:
    for name in ("ProviderStatesTable", "TasksTable"):
        create_table(name)


def finish(dynamodb: Any) -> Transaction:
    return Table(dynamodb, "ProviderStatesTable").update_and_create(
        {"provider": "gw"},
        set={"state": "done", "task": "task-1"},
        condition=Attr("state").eq("begun"),
        mine=lambda found: found.get("task") == "task-1",
        into=Table(dynamodb, "TasksTable"),
        item=TASK,
        item_key=("task_id", "provider"),
    )


def state_and_task() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return items("ProviderStatesTable"), items("TasksTable")


def cancelled(*codes: str) -> ClientError:
    error = fault("TransactionCanceledException", "TransactWriteItems")
    error.response["CancellationReasons"] = [{"Code": code} for code in codes]  # type: ignore[typeddict-unknown-key]
    return error


def test_both_are_written() -> None:
    put("ProviderStatesTable", STATE)
    assert finish(client("dynamodb")) == Transaction(done=True)
    assert state_and_task() == ([DONE], [TASK])


def test_attributes_can_be_removed_in_it() -> None:
    put("ProviderStatesTable", STATE | {"holder": "me"})
    Table(client("dynamodb"), "ProviderStatesTable").update_and_create(
        {"provider": "gw"},
        set={"state": "done"},
        remove=["holder"],
        condition=Attr("holder").eq("me"),
        mine=lambda found: False,
        into=Table(client("dynamodb"), "TasksTable"),
        item=TASK,
        item_key=("task_id", "provider"),
    )
    assert state_and_task() == ([STATE | {"state": "done"}], [TASK])


def test_neither_is_written_where_the_item_is_there() -> None:
    put("ProviderStatesTable", STATE)
    put("TasksTable", TASK | {"status": "pending"})
    assert finish(client("dynamodb")) == Transaction(done=False, existing=TASK | {"status": "pending"})
    assert state_and_task() == ([STATE], [TASK | {"status": "pending"}])


def test_neither_is_written_where_the_condition_does_not_hold() -> None:
    other = STATE | {"state": "done", "task": "task-2"}
    put("ProviderStatesTable", other)
    assert finish(client("dynamodb")) == Transaction(done=False, found=other)
    assert state_and_task() == ([other], [])


def test_nor_where_there_is_nothing_to_change() -> None:
    assert finish(client("dynamodb")) == Transaction(done=False)
    assert state_and_task() == ([], [])


@pytest.mark.parametrize("changed", [{}, {"status": "pending"}], ids=["as it was", "accepted since"])
def test_its_own_write_is_recognised_when_it_is_made_again(changed: dict[str, Any]) -> None:
    put("ProviderStatesTable", STATE)
    losing = Losing(client("dynamodb"), {0}, gives_up=True)
    with pytest.raises(ReadTimeoutError):
        finish(losing)
    put("TasksTable", TASK | changed)
    assert finish(losing) == Transaction(done=True, found=DONE, existing=TASK | changed)


def test_boto3_repeats_it_under_one_token() -> None:
    put("ProviderStatesTable", STATE)
    faulty = Faulty(client("dynamodb"), transact_write_items=[cancelled("None", "TransactionConflict")])
    assert finish(faulty) == Transaction(done=True)
    first, second = (kwargs["ClientRequestToken"] for _, kwargs in faulty.calls)
    assert first == second
    assert len(first) <= 36, "DynamoDB refuses a longer one"
    assert state_and_task() == ([DONE], [TASK])


def test_writes_of_others_that_never_end_are_said() -> None:
    conflict = cancelled("TransactionConflict", "None")
    faulty = Faulty(client("dynamodb"), transact_write_items=[conflict] * 9)
    with pytest.raises(Unavailable, match="being written by others"):
        finish(faulty)
    assert len(faulty.calls) == 4


def test_another_fault_is_not_taken_for_a_refusal() -> None:
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        finish(Faulty(client("dynamodb"), transact_write_items=[cancelled("ValidationError", "None")]))


class TestPreparedConditions:
    ready = PreparedCondition(
        Attr("state").eq("begun") & (Attr("n").lte(Parameter("n")) | Attr("x.y").not_exists())
    )

    @pytest.mark.parametrize(("limit", "done"), [(2, True), (1, False)])
    def test_a_write_holds_for_what_is_given_with_it(self, limit: int, done: bool) -> None:
        put("ProviderStatesTable", STATE | {"n": 2, "x": {"y": 1}})
        table = Table(client("dynamodb"), "ProviderStatesTable")
        write = table.update({"provider": "gw"}, set={"state": "done"}, condition=self.ready.given(n=limit))
        assert write.done is done

    def test_a_value_that_is_not_given_is_an_error_and_one_of_before_is_not_kept(self) -> None:
        self.ready.given(n=1)
        with pytest.raises(KeyError, match="n"):
            self.ready.given()

    def test_it_is_what_the_condition_is(self) -> None:
        built = PreparedCondition(Attr("a").eq(Parameter("b")) & Attr("c").exists()).given(b=7)
        assert (built.expression, built.names, built.values) == (
            "(#n0 = :v0 AND attribute_exists(#n1))",
            {"#n0": "a", "#n1": "c"},
            {":v0": 7},
        )
