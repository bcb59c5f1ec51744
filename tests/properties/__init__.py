"""Promises that hold for all that hypothesis thinks of; tests/conftest.py says how long it looks."""

from __future__ import annotations

from hypothesis import settings


def looked_at(times: int) -> settings:
    """So many times as many examples as other tests have, for one whose examples are cheap."""
    profile = settings.default
    assert profile is not None
    return settings(max_examples=times * profile.max_examples)
