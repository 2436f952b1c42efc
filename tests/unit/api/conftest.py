"""The HTTP API as its tests call it."""

from tests.unit.api.calling import api  # noqa: F401 - the fixture
