from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from tests.account.removal import Removal, Removed
from tests.account.target import TAG
from tests.support.aws import client

from tunehook.errors import Misconfigured

RUN = "tunehook-smoke-0badcafe"
OTHER = "tunehook-smoke-11112222"
TABLE = {
    "Type": "AWS::DynamoDB::Table",
    "DeletionPolicy": "Retain",
    "Properties": {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    },
}


@pytest.fixture(autouse=True)
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def deploy(name: str, *, tag: str | None, prefix: str = "") -> None:
    """Make a stack that leaves a table and a bucket with an object behind, and has another table."""
    prefix = prefix or name
    resources: dict[str, Any] = {
        "Kept": {**TABLE, "Properties": {**TABLE["Properties"], "TableName": f"{prefix}-kept"}},
        "Passing": {
            **TABLE,
            "DeletionPolicy": "Delete",
            "Properties": {**TABLE["Properties"], "TableName": f"{prefix}-passing"},
        },
        "Bucket": {
            "Type": "AWS::S3::Bucket",
            "DeletionPolicy": "Retain",
            "Properties": {"BucketName": f"{prefix}-bucket"},
        },
    }
    client("cloudformation").create_stack(
        StackName=name,
        TemplateBody=json.dumps({"Resources": resources}),
        Tags=[] if tag is None else [{"Key": TAG, "Value": tag}],
    )
    client("s3").put_object(Bucket=f"{prefix}-bucket", Key="results/a", Body=b"a")
    client("logs").create_log_group(logGroupName=f"/aws/lambda/{name}-intake")


def share_a_bucket() -> None:
    """Make SAM's own bucket, with uploads for two runs."""
    template = {
        "Resources": {"SamCliSourceBucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "sam"}}},
        "Outputs": {"SourceBucket": {"Value": {"Ref": "SamCliSourceBucket"}}},
    }
    client("cloudformation").create_stack(
        StackName="aws-sam-cli-managed-default", TemplateBody=json.dumps(template)
    )
    client("s3").put_bucket_versioning(Bucket="sam", VersioningConfiguration={"Status": "Enabled"})
    for key in (f"{RUN}/a", f"{RUN}/a", f"{RUN}-sandbox/b", f"{OTHER}/c", "tunehook/d"):
        client("s3").put_object(Bucket="sam", Key=key, Body=b"x")


def there() -> set[str]:
    """Return the names of all that there is."""
    stacks = client("cloudformation").describe_stacks()["Stacks"]
    secrets = client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    return {
        *(stack["StackName"] for stack in stacks),
        *client("dynamodb").list_tables()["TableNames"],
        *(bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]),
        *(secret["Name"] for secret in secrets),
        *(group["logGroupName"] for group in client("logs").describe_log_groups()["logGroups"]),
    }


def remove(name: str = RUN, *, is_mine: bool = False) -> Removed:
    return Removal(client, name, lambda _line: None, is_mine=is_mine).run()


def test_both_stacks_and_all_that_they_leave_behind_are_removed() -> None:
    deploy(RUN, tag=RUN)
    deploy(f"{RUN}-sandbox", tag=RUN)

    removed = remove()

    assert there() == set()
    assert removed.left == []
    assert removed.stacks == [f"{RUN}-sandbox", RUN]


def test_what_others_have_stays() -> None:
    deploy(RUN, tag=RUN)
    deploy(OTHER, tag=OTHER)
    deploy("tunehook", tag=None)
    before = {name for name in there() if RUN not in name}

    remove()

    assert there() == before
    assert client("s3").list_objects_v2(Bucket=f"{OTHER}-bucket")["KeyCount"] == 1


@pytest.mark.parametrize("tag", [None, OTHER, "yes"])
def test_a_stack_of_that_name_without_the_tag_of_the_run_is_not_touched(tag: str | None) -> None:
    deploy(RUN, tag=tag)
    before = there()

    with pytest.raises(Misconfigured, match="does not carry the tag"):
        remove()

    assert there() == before


def test_a_stack_is_not_touched_where_the_one_beside_it_is_somebody_elses() -> None:
    deploy(f"{RUN}-sandbox", tag=RUN)
    deploy(RUN, tag=None)
    before = there()

    with pytest.raises(Misconfigured, match="does not carry the tag"):
        remove(is_mine=True)

    assert there() == before


@pytest.mark.parametrize(
    "name", ["tunehook", "tunehook-smoke-", "tunehook-smoke-0badcafe-sandbox", "tunehook-smoke-*"]
)
def test_a_name_that_no_run_has_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="no name of a run"):
        remove(name)


def test_what_a_stack_left_that_is_gone_already_is_removed_too() -> None:
    deploy(RUN, tag=RUN)
    client("cloudformation").delete_stack(StackName=RUN)
    assert f"{RUN}-kept" in there()

    removed = remove()

    assert there() == set()
    assert removed.left == []


def test_removing_again_is_no_trouble() -> None:
    deploy(RUN, tag=RUN)
    remove()

    removed = remove()

    assert there() == set()
    assert removed.left == []


def test_without_any_stack_that_carries_the_tag_nothing_is_touched() -> None:
    share_a_bucket()
    client("logs").create_log_group(logGroupName=f"/aws/lambda/{RUN}-intake")
    before = there()

    removed = remove()

    assert there() == before
    assert removed == Removed()


def test_what_was_uploaded_for_the_run_goes_and_the_shared_bucket_stays() -> None:
    share_a_bucket()
    deploy(RUN, tag=RUN)

    remove()

    versions = client("s3").list_object_versions(Bucket="sam")
    assert {each["Key"] for each in versions["Versions"]} == {f"{OTHER}/c", "tunehook/d"}
    assert versions.get("DeleteMarkers", []) == []


def test_what_was_uploaded_goes_even_if_no_stack_was_made() -> None:
    share_a_bucket()

    remove(is_mine=True)

    versions = client("s3").list_object_versions(Bucket="sam")["Versions"]
    assert {each["Key"] for each in versions} == {f"{OTHER}/c", "tunehook/d"}


def test_a_bucket_with_versions_and_unfinished_uploads_is_emptied() -> None:
    deploy(RUN, tag=RUN)
    bucket = f"{RUN}-bucket"
    client("s3").put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    client("s3").put_object(Bucket=bucket, Key="results/a", Body=b"b")
    client("s3").delete_object(Bucket=bucket, Key="results/a")
    client("s3").create_multipart_upload(Bucket=bucket, Key="results/c")

    assert remove().left == []
    assert bucket not in there()


def test_no_backup_is_left_of_a_table_with_point_in_time_recovery(monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(RUN, tag=RUN)
    for table in (f"{RUN}-kept", f"{RUN}-passing"):
        client("dynamodb").update_continuous_backups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    calls: list[tuple[str, Any]] = []
    dynamodb = client("dynamodb")
    switch = dynamodb.update_continuous_backups
    monkeypatch.setattr(
        dynamodb,
        "update_continuous_backups",
        lambda **given: (
            calls.append((given["TableName"], given["PointInTimeRecoverySpecification"])),
            switch(**given),
        ),
    )

    remove()

    off = {"PointInTimeRecoveryEnabled": False}
    assert sorted(calls, key=str) == [(f"{RUN}-kept", off), (f"{RUN}-passing", off)]


def test_a_secret_goes_at_once_and_without_recovery() -> None:
    # moto's CloudFormation knows no secrets.
    arn = client("secretsmanager").create_secret(Name="a", SecretString="{}")["ARN"]
    removal = Removal(client, RUN, lambda _line: None)

    removal.delete("AWS::SecretsManager::Secret", arn)

    assert there() == set()


def test_a_table_that_is_protected_is_removed() -> None:
    deploy(RUN, tag=RUN)
    client("dynamodb").update_table(TableName=f"{RUN}-kept", DeletionProtectionEnabled=True)

    assert remove().left == []
    assert there() == set()


def test_what_cannot_be_removed_is_told_and_keeps_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    deploy(RUN, tag=RUN)

    def refuse(**_given: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DeleteBucket")

    monkeypatch.setattr(client("s3"), "delete_bucket", refuse)

    removed = remove()

    assert there() == {f"{RUN}-bucket"}
    (left,) = removed.left
    assert f"{RUN}-bucket" in left
    assert "AccessDenied" in left


def test_a_stack_that_is_only_reviewed_is_known_by_the_tag_of_its_change_set() -> None:
    client("cloudformation").create_change_set(
        StackName=RUN,
        ChangeSetName="first",
        ChangeSetType="CREATE",
        TemplateBody=json.dumps({"Resources": {"Kept": TABLE}}),
        Tags=[{"Key": TAG, "Value": RUN}],
    )
    (stack,) = client("cloudformation").describe_stacks()["Stacks"]
    assert stack["StackStatus"] == "REVIEW_IN_PROGRESS"

    assert remove().stacks == [RUN]
