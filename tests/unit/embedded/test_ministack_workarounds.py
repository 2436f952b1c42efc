from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support.template import resources, statements, template

from tunehook_local.embedded.ministack_workarounds import (
    TIMEOUT_S,
    TTL_ATTRIBUTES,
    enable_ttl,
    write_for_ministack,
)

BUILT = """\
        Statement:
          - Action:
            - sqs:DeleteMessage
            - sqs:SendMessage
            - sqs:ChangeMessageVisibility
            Resource: one
          - Action: sqs:SendMessage
            Resource: other
"""


def test_batches_are_allowed_where_single_messages_are(tmp_path: Path) -> None:
    built = tmp_path / "template.yaml"
    built.write_text(BUILT)
    copy = write_for_ministack(built)
    assert copy.parent == built.parent, "the code's places are told from there"
    assert built.read_text() == BUILT
    assert (
        copy.read_text()
        == """\
        Statement:
          - Action:
            - sqs:DeleteMessage
            - sqs:SendMessage
            - sqs:SendMessageBatch
            - sqs:ChangeMessageVisibility
            - sqs:ChangeMessageVisibilityBatch
            Resource: one
          - Action: [sqs:SendMessage, sqs:SendMessageBatch]
            Resource: other
"""
    )


def test_short_functions_have_time_to_start_and_long_ones_are_as_they_are(tmp_path: Path) -> None:
    built = tmp_path / "template.yaml"
    built.write_text("A:\n  Timeout: 30\n  VisibilityTimeout: 20\nB:\n  Timeout: 120\nC:\n  Timeout: 29\n")
    assert write_for_ministack(built).read_text() == (
        "A:\n  Timeout: 180\n  VisibilityTimeout: 20\nB:\n  Timeout: 120\nC:\n  Timeout: 180\n"
    )
    assert resources("AWS::SQS::Queue")["DeliveriesQueue"]["VisibilityTimeout"] == TIMEOUT_S


def test_what_the_template_is_written_for_knows_no_batches() -> None:
    assert not [
        each for _, each in statements(template()) if "Batch" in str(each["Action"]) and "sqs:" in str(each)
    ]


def test_every_table_whose_items_expire_is_known() -> None:
    tables = resources("AWS::DynamoDB::Table")
    expiring = {
        name: each["TimeToLiveSpecification"]
        for name, each in tables.items()
        if "TimeToLiveSpecification" in each
    }
    assert expiring == {
        name: {"AttributeName": attribute, "Enabled": True} for name, attribute in TTL_ATTRIBUTES.items()
    }


class Tables:
    """Two tables of a stack, and a queue; the items of one expire already."""

    def __init__(self) -> None:
        self.expiring = {"stack-Deliveries": "expires_at"}

    def client(self, _: str) -> Any:
        return self

    def describe_stack_resources(self, **_: Any) -> dict[str, Any]:
        names = ("TasksTable", "DeliveriesTable", "SubscriptionsTable", "FulfillmentQueue")
        return {
            "StackResources": [
                {"LogicalResourceId": name, "PhysicalResourceId": f"stack-{name.removesuffix('Table')}"}
                for name in names
            ]
        }

    def describe_time_to_live(self, *, TableName: str) -> dict[str, Any]:  # noqa: N803 - boto3's own
        status = "ENABLED" if TableName in self.expiring else "DISABLED"
        return {"TimeToLiveDescription": {"TimeToLiveStatus": status}}

    def update_time_to_live(self, *, TableName: str, TimeToLiveSpecification: dict[str, Any]) -> None:  # noqa: N803
        assert TableName not in self.expiring, "AWS refuses to switch on what is on"
        assert TimeToLiveSpecification["Enabled"]
        self.expiring[TableName] = TimeToLiveSpecification["AttributeName"]


def test_items_expire_there_as_the_template_says() -> None:
    tables = Tables()
    environment: Any = SimpleNamespace(client=tables.client, stack_name="stack")
    enable_ttl(environment)
    assert tables.expiring == {"stack-Deliveries": "expires_at", "stack-Tasks": "expires_at"}
