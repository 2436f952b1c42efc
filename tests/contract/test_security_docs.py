"""Every sentence with a dash in docs/security.md holds, of the translated template's policies and of the code."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from tests.support.template import (
    ACCOUNT,
    ROOT,
    is_made,
    many,
    resolved,
    statements,
    translated,
    translated_resources,
)

from tunehook.api_keys import ApiKey, Scope, digest_of, make_key
from tunehook.aws.links import link, s3_client
from tunehook.callbacks import callback_token
from tunehook.deliveries import Delivery, DeliveryMessage, payload_id_of
from tunehook.errors import InvalidInput
from tunehook.http.guard import ForbiddenAddress, NetworkPolicy, check_address, check_url
from tunehook.operations.documents import key_document
from tunehook.signatures import (
    derive_public_key,
    derive_secret,
    derive_secret_key,
    notify_hook_subscription_id,
)
from tunehook.subscriptions import check_subscription
from tunehook.tasks import check_request

PAGE = (ROOT / "docs" / "security.md").read_text()
FUNCTIONS = ("Intake", "Poller", "Fulfillment", "Webhooks", "Api")
ROLES = {f"{name}Role" for name in FUNCTIONS}
BUCKET = "ResultsBucket.Arn"
MASTER = "m" * 64

held: dict[str, Callable[[], None]] = {}


def holds(sentence: str) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Enter a test of a sentence of the page."""

    def enter(test: Callable[[], None]) -> Callable[[], None]:
        held[sentence] = test
        return test

    return enter


def permissions() -> Iterator[tuple[str, str, str]]:
    """Each role, what it may do, and on what."""
    for name, each in statements(translated()):
        if name in translated_resources("AWS::IAM::Role") and each["Effect"] == "Allow":
            for action in many(each["Action"]):
                for resource in many(resolved(each["Resource"])):
                    yield name, action, resource


def who(action: str, resource: str) -> set[str]:
    """The roles that may do something on something."""
    return {role for role, may, on in permissions() if (may, on) == (action, resource)}


@holds("Each function has a role of its own, and Lambda alone takes it on.")
def _() -> None:
    taken = []
    for name in FUNCTIONS:
        (role,) = translated()["Resources"][f"{name}Function"]["Properties"]["Role"]["Fn::GetAtt"][:1]
        (trust,) = translated()["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
        taken.append(role)
    assert set(taken) == ROLES
    assert {*ROLES, "ScheduleRole"} == set(translated_resources("AWS::IAM::Role"))


@holds(
    "The Scheduler takes on a role that starts the poller and writes its dead letters, "
    "for schedules of this account alone."
)
def _() -> None:
    may = {(action, on) for role, action, on in permissions() if role == "ScheduleRole"}
    assert {action for action, _ in may} == {"lambda:InvokeFunction", "sqs:SendMessage"}
    assert {on.rpartition(":")[2] for _, on in may} == {"tunehook-poller", "PollerDeadLetters.Arn"}
    trust = resolved(translated()["Resources"]["ScheduleRole"]["Properties"]["AssumeRolePolicyDocument"])
    assert trust["Statement"][0]["Condition"]["StringEquals"] == {"aws:SourceAccount": ACCOUNT}


@holds("No permission is a pattern of actions, and none is for everything where AWS knows what it is for.")
def _() -> None:
    assert not [action for _, action, _ in permissions() if "*" in action]
    everything = {action for _, action, on in permissions() if on == "*"}
    assert everything == {"dynamodb:ListStreams", "xray:PutTelemetryRecords", "xray:PutTraceSegments"}


@holds("The poller and the api function alone read the API keys of the providers.")
def _() -> None:
    assert who("secretsmanager:GetSecretValue", "ProvidersSecret.Id") == {"PollerRole", "ApiRole"}


@holds("The webhooks function and the api function alone read the master secret.")
def _() -> None:
    assert who("secretsmanager:GetSecretValue", "MasterSecret.Id") == {"WebhooksRole", "ApiRole"}


@holds("No function may change a secret.")
def _() -> None:
    on_secrets = {action for _, action, _ in permissions() if action.startswith("secretsmanager:")}
    assert on_secrets == {"secretsmanager:GetSecretValue"}


@holds("No environment variable holds a secret: it names where one is.")
def _() -> None:
    for name in FUNCTIONS:
        properties = resolved(translated()["Resources"][f"{name}Function"]["Properties"])
        for variable, value in properties["Environment"]["Variables"].items():
            assert "SECRET" not in variable or str(value).endswith((".Id", "Table")), variable
    assert "resolve:secretsmanager" not in str(translated())


@holds("Fulfillment alone writes the kept files, and no function deletes one.")
def _() -> None:
    assert who("s3:PutObject", f"{BUCKET}/results/*") == {"FulfillmentRole"}
    on_files = {action for _, action, on in permissions() if on.startswith(BUCKET)}
    assert on_files == {"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListBucket"}


@holds(
    "The webhooks function may read kept files, which makes its links to them good, and nothing else of the bucket."
)
def _() -> None:
    may = {(action, on) for role, action, on in permissions() if role == "WebhooksRole" and BUCKET in on}
    assert may == {("s3:GetObject", f"{BUCKET}/results/*")}


@holds("No function may change who may do what.")
def _() -> None:
    assert not [action for _, action, _ in permissions() if action.split(":")[0] in ("iam", "sts", "kms")]
    assert not [action for _, action, _ in permissions() if "Policy" in action or "Permission" in action]


@holds(
    "An application is given two policies, and the stack attaches them to nobody: "
    "`TaskWriterPolicy` puts tasks and reads nothing, "
    "`ResultReaderPolicy` reads tasks and kept files and changes nothing."
)
def _() -> None:
    given = {
        (name, action)
        for name, each in statements(translated())
        if name in translated_resources("AWS::IAM::ManagedPolicy")
        for action in many(each["Action"])
    }
    assert given == {
        ("TaskWriterPolicy", "dynamodb:PutItem"),
        ("ResultReaderPolicy", "dynamodb:GetItem"),
        ("ResultReaderPolicy", "s3:GetObject"),
    }
    for policy in translated_resources("AWS::IAM::ManagedPolicy").values():
        assert not {"Roles", "Users", "Groups"} & set(policy["Properties"])


@holds(
    "Whoever has `TaskWriterPolicy` alone cannot write a task's state, status or files: "
    "it allows the attributes of a request and no others."
)
def _() -> None:
    (statement,) = translated()["Resources"]["TaskWriterPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    attributes = set(statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"])
    assert attributes == {"task_id", "provider", "notify_hook", "notify_format", "metadata", "timeout_s"}


@holds(
    "Nothing of the HTTP API answers without a key "
    "but `/health`, its OpenAPI document and the callbacks of providers."
)
def _() -> None:
    routes = [each["Properties"] for each in translated_resources("AWS::ApiGatewayV2::Route").values()]
    # That of OPTIONS is there where origins are named: a browser sends no key with it, and nothing is told.
    assert {each["RouteKey"] for each in routes if each["AuthorizationType"] == "NONE"} == {
        "GET /health",
        "GET /v1/openapi.json",
        "OPTIONS /v1/{proxy+}",
        "POST /v1/callbacks/{provider}/{token}",
    }


@holds("A key of the HTTP API is 200 random bits, and nothing is kept of them but a digest.")
def _() -> None:
    key_id, secret = make_key()
    assert len(secret) * 5 == 200
    key = ApiKey(key_id, "shop", Scope.READ, digest_of(secret), created_at_ms=0)
    assert secret not in repr(key)
    assert secret not in repr(key_document(key, 0))


@holds("A key of the HTTP API that is revoked opens nothing a minute later.")
def _() -> None:
    authorizer = translated()["Resources"]["ApiAuthorizer"]["Properties"]
    # The function keeps nothing: tests/unit/api/test_authorizer.py.
    assert authorizer["AuthorizerResultTtlInSeconds"] < 60


@holds("The access log of the HTTP API has no path, no header and no body.")
def _() -> None:
    logged = translated()["Resources"]["ApiStage"]["Properties"]["AccessLogSettings"]["Format"]
    assert not re.search(r"path|header|body|authorizer|identity", logged, re.IGNORECASE)


@holds("Events named `tunehook` on the stack's bus come from its functions, whoever else may put events.")
def _() -> None:
    ((_, policy),) = translated_resources("AWS::Events::EventBusPolicy").items()
    statement = policy["Properties"]["Statement"]
    assert is_made(policy)
    assert (statement["Effect"], statement["Principal"]) == ("Deny", "*")
    let_through = resolved(statement["Condition"]["ArnNotEquals"]["aws:PrincipalArn"])
    emitting = ROLES - {"ApiRole"}
    assert set(let_through) == {f"{role}.Arn" for role in emitting}
    assert who("events:PutEvents", "EventBus.Arn") == emitting


@holds("Whoever may write the Subscriptions table chooses where webhooks go.")
def _() -> None:
    item = {"subscription_id": "sub", "url": "https://example.com/theirs"}
    assert check_subscription(item, NetworkPolicy.PUBLIC).url == item["url"]


@holds(
    "Whoever may write the Tasks table chooses a `notify_hook`, and each URL there is signed with a secret of its own."
)
def _() -> None:
    hooks = ("https://example.com/one", "https://example.com/other")
    for hook in hooks:
        item = {"task_id": "task", "provider": "suno", "notify_hook": hook}
        assert check_request(item, NetworkPolicy.PUBLIC).notify_hook == hook
    assert len({derive_secret(MASTER, notify_hook_subscription_id(hook), 1) for hook in hooks}) == 2


@holds(
    "A message in the deliveries queue names a delivery, and a payload in it is sent only if the delivery's record "
    "names it by its digest: who can only send there has nothing else signed."
)
def _() -> None:
    carried = {"delivery_id", "subscription_id", "attempt", "run", "due_at_ms", "is_check"}
    carried |= {"run_began_at_ms", "slot"}  # when, and nothing of what
    assert set(DeliveryMessage.model_fields) == carried | {"payload"}
    recorded = Delivery.model_validate(
        {
            "delivery_id": "msg_1",
            "subscription_id": "sub",
            "event_id": "evt_1",
            "type": "task.completed",
            "event_at_ms": 0,
            "format": "standard",
            "created_at_ms": 0,
            "expires_at": 0,
            "payload_id": payload_id_of('{"of": "the record"}'),
        }
    )
    assert recorded.with_payload('{"of": "the record"}').payload == '{"of": "the record"}'
    assert recorded.with_payload('{"of": "a message"}').payload == ""


@holds(
    "A URL of a subscription or of a task is refused unless it is https, and leads to no address of a private network."
)
def _() -> None:
    for url in ("http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/", "https://[::1]/"):
        with pytest.raises(InvalidInput):
            check_url(url, NetworkPolicy.PUBLIC)
        with pytest.raises(InvalidInput):
            check_request({"task_id": "task", "provider": "suno", "notify_hook": url}, NetworkPolicy.PUBLIC)
        refused = None
        try:
            check_subscription({"subscription_id": "sub", "url": url}, NetworkPolicy.PUBLIC)
        except InvalidInput as error:
            refused = error
        assert refused is not None
    assert translated()["Parameters"]["NetworkPolicy"]["Default"] == "public"


@holds("An address is judged when the connection is made, whatever its name said before.")
def _() -> None:
    check_url("https://rebinding.example.com/", NetworkPolicy.PUBLIC)
    with pytest.raises(ForbiddenAddress):
        check_address("10.0.0.1", NetworkPolicy.PUBLIC)


@holds("The signing secret of one subscription tells nothing of another's, nor of its own next version.")
def _() -> None:
    secrets = [derive_secret(MASTER, name, version) for name in ("one", "other") for version in (1, 2)]
    assert len(set(secrets)) == 4
    assert not {MASTER, *secrets} & {
        derive_secret(secrets[0], "other", 1),
        derive_secret(secrets[0], "one", 2),
    }


@holds(
    "The Ed25519 key of a subscription is of none of its secrets, "
    "and its public key tells of no secret and of no other version."
)
def _() -> None:
    named = [(name, version) for name in ("one", "other") for version in (1, 2)]
    shown = [derive_public_key(MASTER, *each) for each in named]
    keys = [decoded(derive_secret_key(MASTER, *each)) for each in named]
    secrets = [decoded(derive_secret(MASTER, *each)) for each in named]
    seeds = [key[:32] for key in keys]
    assert len({*seeds, *secrets, *map(decoded, shown)}) == 3 * len(named)
    assert not {*seeds, *secrets} & {
        decoded(derive(text, "one", 2))[:32]
        for text in shown
        for derive in (derive_secret, derive_secret_key)
    }


def decoded(text: str) -> bytes:
    return base64.b64decode(text.partition("_")[2], validate=True)


@holds("The callback URL of one provider tells nothing of another's, nor of its own next version.")
def _() -> None:
    tokens = [callback_token(MASTER, name, version) for name in ("one", "other") for version in (1, 2)]
    assert len(set(tokens)) == 4
    assert not {MASTER, *tokens} & {
        callback_token(tokens[0], "other", 1),
        callback_token(tokens[0], "one", 2),
    }


@holds("A download link is for one file, for reading, and for an hour at most.")
def _() -> None:
    session: Any = boto3.Session("AKIAIOSFODNN7EXAMPLE", "not-a-secret", region_name="eu-central-1")
    s3 = s3_client(lambda service, **settings: session.client(service, config=boto_config(settings)))
    told = urlsplit(link(s3, "bucket", "results/p/t/c/audio.mp3"))
    assert told.path == "/results/p/t/c/audio.mp3"
    assert parse_qs(told.query)["X-Amz-Expires"] == ["3600"]


@holds(
    "The tables and the bucket can be read in two ways alone: "
    "by AWS's own permissions, and with a key of the HTTP API as far as its scope goes."
)
def _() -> None:
    block = translated()["Resources"]["ResultsBucket"]["Properties"]["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    identities = {*translated_resources("AWS::IAM::Role"), *translated_resources("AWS::IAM::ManagedPolicy")}
    for name, each in statements(translated()):
        if name not in identities and each["Effect"] == "Allow":
            assert each["Principal"] == {"Service": "events.amazonaws.com"}, name
    kinds = {each["Type"] for each in translated()["Resources"].values()}
    assert not kinds & {"AWS::Lambda::Url", "AWS::ApiGateway::RestApi"}
    assert set(translated_resources("AWS::ApiGatewayV2::Api")) == {"Api"}


def boto_config(settings: dict[str, Any]) -> Any:
    """The settings of a client as botocore takes them."""
    from botocore.config import Config

    return Config(**settings)


def test_every_sentence_of_the_page_is_held() -> None:
    said = [" ".join(line.split()) for line in re.findall(r"^- (.+)$", PAGE, re.MULTILINE)]
    assert said == list(held)


@pytest.mark.parametrize("sentence", list(held))
def test_it_holds(sentence: str) -> None:
    held[sentence]()
