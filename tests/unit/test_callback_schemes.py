import pytest

from tunehook.callback_schemes import CallbackScheme, check_callback_secret
from tunehook.errors import InvalidInput


@pytest.mark.parametrize("secret", ["no base64!", "whsec_", "whsec_abc", ""])
def test_a_secret_that_is_none_of_standard_webhooks_is_refused(secret: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_callback_secret(CallbackScheme.STANDARD_WEBHOOKS, secret)
    assert caught.value.field == "callback_secret"
    assert not secret or secret not in caught.value.reason.replace("whsec_ and base64", "")


@pytest.mark.parametrize("scheme", [CallbackScheme.HEADER, CallbackScheme.KIE])
def test_the_others_take_any(scheme: CallbackScheme) -> None:
    check_callback_secret(scheme, "no base64!")


def test_standard_webhooks_takes_its_own() -> None:
    check_callback_secret(CallbackScheme.STANDARD_WEBHOOKS, "whsec_c2VjcmV0LXNlY3JldA==")
