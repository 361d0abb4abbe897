"""What the tests of both kinds of response share."""

import pytest
from support.waiting import SECONDS


@pytest.fixture
def far(monkeypatch):
    """A round trip may take long: no close comes too late to be one that crossed the request."""
    monkeypatch.setattr("tsn_frames.engine.transport.connection.RACE_SECONDS", SECONDS)
