"""niquests looks like requests and is another library: a session of it is told so."""

from __future__ import annotations

import pytest

from thebase_auth.requests import TheBaseAuth

niquests = pytest.importorskip(
    "niquests", reason="needs niquests, which takes the place of urllib3: `nox -s niquests`"
)


def test_session_of_niquests_is_rejected_with_a_reason() -> None:
    auth = TheBaseAuth("acme.thebase.co.il", "id", "secret")
    with (
        niquests.Session() as session,
        pytest.raises(TypeError, match="does not sign a niquests.* for other libraries"),
    ):
        session.get("https://acme.thebase.co.il/v2/users", auth=auth)
