"""Takes away what a run has made, and what its stacks would leave behind. Touches nothing that the run has not tagged.

It works from the tag alone, and may be run again: on stacks that are there, half made, half deleted, or gone, whose
retained resources CloudFormation still lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError, WaiterError
from tests.account.target import TAG

from tunehook.errors import Misconfigured, Unavailable

Say = Callable[[str], None]
OpenClient = Callable[[str], Any]

NAME: Final = re.compile(r"tunehook-smoke-[0-9a-f]{8}")
"""The name of a run."""

_SAM_STACK: Final = "aws-sam-cli-managed-default"
_STATES: Final = (
    "CREATE_IN_PROGRESS",
    "CREATE_FAILED",
    "CREATE_COMPLETE",
    "ROLLBACK_IN_PROGRESS",
    "ROLLBACK_FAILED",
    "ROLLBACK_COMPLETE",
    "DELETE_IN_PROGRESS",
    "DELETE_FAILED",
    "DELETE_COMPLETE",
    "UPDATE_IN_PROGRESS",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "REVIEW_IN_PROGRESS",
)
_GONE: Final = frozenset(
    {
        "ResourceNotFoundException",
        "NoSuchBucket",
        "404",
        "NoSuchKey",
        "TableNotFoundException",
        "ValidationError",
    }
)


@dataclass
class Removed:
    """What was taken away, and what could not be."""

    stacks: list[str] = field(default_factory=list)
    resources: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What is still there, with the reason."""


@dataclass(frozen=True)
class _Stack:
    name: str
    stack_id: str
    status: str


class Removal:
    """Removes one run.

    Parameters
    ----------
    open_client : callable
        Makes a boto3 client of a service.
    name : str
        The name of the run.
    say : callable
        Is given a line a step.
    is_mine : bool
        Whether this very program has drawn the name. If not, nothing is touched unless a stack carries the tag.

    Raises
    ------
    Misconfigured
        If the name is none that is given here.
    """

    def __init__(self, open_client: OpenClient, name: str, say: Say, *, is_mine: bool = False) -> None:
        if not NAME.fullmatch(name):
            raise Misconfigured(f"{name} is no name of a run: they are tunehook-smoke- and eight digits")
        self._open_client = open_client
        self._name = name
        self._say = say
        self._is_mine = is_mine
        self._removed = Removed()
        self._clients: dict[str, Any] = {}
        self._unprotected: set[str] = set()

    def run(self) -> Removed:
        """Remove it all, and return what was removed and what is left.

        Raises
        ------
        Misconfigured
            If a stack of that name does not carry the tag of the run: it is not ours.
        """
        # The sandbox first: its rule is on the bus of the other, which could not be deleted with it.
        stacks = sorted(self._stacks(), key=lambda stack: stack.name == self._name)
        if not (stacks or self._is_mine):
            return self._removed
        for stack in stacks:
            resources = set(self._resources(stack))
            if stack.status != "DELETE_COMPLETE":
                self._prepare(resources)
                self._delete_stack(stack)
                # What was still being made when it was looked at.
                resources |= set(self._resources(stack))
            for kind, physical_id in sorted(resources):
                self._attempt(f"{kind} {physical_id}", lambda k=kind, i=physical_id: self.delete(k, i))
        self._attempt("log groups", self._delete_log_groups)
        self._attempt("uploads", self._delete_uploads)
        return self._removed

    def _stacks(self) -> Iterator[_Stack]:
        """Yield the run's stacks: those that are there, and those that are deleted already.

        Raises
        ------
        Misconfigured
            If one of that name is there and somebody else's.
        """
        pages = (
            self._client("cloudformation")
            .get_paginator("list_stacks")
            .paginate(StackStatusFilter=list(_STATES))
        )
        for page in pages:
            for summary in page["StackSummaries"]:
                name = summary["StackName"]
                if name not in (self._name, f"{self._name}-sandbox"):
                    continue
                stack = _Stack(name, summary["StackId"], summary["StackStatus"])
                if self._is_ours(stack):
                    yield stack
                elif stack.status != "DELETE_COMPLETE":
                    raise Misconfigured(
                        f"the stack {name} does not carry the tag {TAG}={self._name}: it is not removed"
                    )

    def _is_ours(self, stack: _Stack) -> bool:
        cloudformation = self._client("cloudformation")
        (found,) = cloudformation.describe_stacks(StackName=stack.stack_id)["Stacks"]
        if self._has_tag(found):
            return True
        if stack.status != "REVIEW_IN_PROGRESS":
            return False
        # Nothing is made of it yet, and the tags are those of its change sets.
        changes = cloudformation.list_change_sets(StackName=stack.stack_id)["Summaries"]
        return any(
            self._has_tag(cloudformation.describe_change_set(ChangeSetName=each["ChangeSetId"]))
            for each in changes
        )

    def _has_tag(self, found: Mapping[str, Any]) -> bool:
        return {"Key": TAG, "Value": self._name} in [
            {"Key": tag["Key"], "Value": tag["Value"]} for tag in found.get("Tags") or ()
        ]

    def _resources(self, stack: _Stack) -> Iterator[tuple[str, str]]:
        """Yield kind and physical name of what stays behind or may."""
        pages = (
            self._client("cloudformation")
            .get_paginator("list_stack_resources")
            .paginate(StackName=stack.stack_id)
        )
        for page in pages:
            for each in page["StackResourceSummaries"]:
                if each["ResourceType"] in self._deleters and each.get("PhysicalResourceId"):
                    yield each["ResourceType"], each["PhysicalResourceId"]

    def _prepare(self, resources: Iterable[tuple[str, str]]) -> None:
        """Switch off what would keep a copy of a table that is deleted, or the table itself."""
        for kind, table in resources:
            if kind == "AWS::DynamoDB::Table":
                self._attempt(f"backups of {table}", lambda t=table: self._unprotect(t))

    def _unprotect(self, table: str) -> None:
        if table in self._unprotected:
            return
        dynamodb = self._client("dynamodb")
        description = dynamodb.describe_table(TableName=table)["Table"]
        if description.get("DeletionProtectionEnabled"):
            dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
        backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        recovery = backups.get("PointInTimeRecoveryDescription", {})
        if recovery.get("PointInTimeRecoveryStatus") == "ENABLED":
            dynamodb.update_continuous_backups(
                TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
            )
        self._unprotected.add(table)

    def _delete_stack(self, stack: _Stack) -> None:
        self._say(f"deleting the stack {stack.name}")
        cloudformation = self._client("cloudformation")
        try:
            cloudformation.delete_stack(StackName=stack.stack_id)
            cloudformation.get_waiter("stack_delete_complete").wait(
                StackName=stack.stack_id, WaiterConfig={"Delay": 2, "MaxAttempts": 450}
            )
        except (BotoCoreError, ClientError, WaiterError) as error:
            self._removed.left.append(f"the stack {stack.name}: {error}")
        else:
            self._removed.stacks.append(stack.name)

    def _attempt(self, what: str, act: Callable[[], None]) -> None:
        """Do one thing; what is gone already is no trouble, and trouble with it keeps nothing else."""
        try:
            act()
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                self._removed.left.append(f"{what}: {error}")
        except (BotoCoreError, Unavailable, WaiterError) as error:
            self._removed.left.append(f"{what}: {error}")

    @property
    def _deleters(self) -> dict[str, Callable[[str], None]]:
        return {
            "AWS::DynamoDB::Table": self._delete_table,
            "AWS::S3::Bucket": self._delete_bucket,
            "AWS::SecretsManager::Secret": self._delete_secret,
            "AWS::Logs::LogGroup": self._delete_log_group,
        }

    def delete(self, kind: str, physical_id: str) -> None:
        """Delete one thing of a kind that stacks leave behind."""
        self._deleters[kind](physical_id)
        self._removed.resources.append(physical_id)

    def _delete_table(self, table: str) -> None:
        self._unprotect(table)
        dynamodb = self._client("dynamodb")
        dynamodb.delete_table(TableName=table)
        dynamodb.get_waiter("table_not_exists").wait(
            TableName=table, WaiterConfig={"Delay": 2, "MaxAttempts": 150}
        )

    def _delete_bucket(self, bucket: str) -> None:
        s3 = self._client("s3")
        self._empty(bucket, "")
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", ()):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        s3.delete_bucket(Bucket=bucket)

    def _empty(self, bucket: str, prefix: str) -> int:
        """Delete the objects of a bucket that begin so, in all of their versions; return how many."""
        s3, count = self._client("s3"), 0
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
            versions = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not versions:
                continue
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            if errors := answer.get("Errors"):
                raise Unavailable(f"{errors[0]['Key']}: {errors[0].get('Code')}")
            count += len(objects)
        return count

    def _delete_secret(self, secret: str) -> None:
        self._client("secretsmanager").describe_secret(SecretId=secret)
        self._client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)

    def _delete_log_group(self, group: str) -> None:
        self._client("logs").delete_log_group(logGroupName=group)

    def _delete_log_groups(self) -> None:
        """Delete what a function wrote when its stack, and with it its log group, was gone already."""
        pages = (
            self._client("logs")
            .get_paginator("describe_log_groups")
            .paginate(logGroupNamePrefix=f"/aws/lambda/{self._name}")
        )
        for page in pages:
            for group in page["logGroups"]:
                if group["logGroupName"].startswith(f"/aws/lambda/{self._name}-"):
                    self.delete("AWS::Logs::LogGroup", group["logGroupName"])

    def _delete_uploads(self) -> None:
        """Delete from SAM's shared bucket what was uploaded for these stacks; the bucket stays."""
        cloudformation = self._client("cloudformation")
        (stack,) = cloudformation.describe_stacks(StackName=_SAM_STACK)["Stacks"]
        buckets = [each["OutputValue"] for each in stack["Outputs"] if each["OutputKey"] == "SourceBucket"]
        for bucket in buckets:
            for prefix in (f"{self._name}/", f"{self._name}-sandbox/"):
                if self._empty(bucket, prefix):
                    self._removed.resources.append(f"{bucket}/{prefix}")

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._open_client(service)
        return self._clients[service]
