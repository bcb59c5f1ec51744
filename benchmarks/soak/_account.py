"""The account of every call: what its caller got, beside what the server received."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from thebase_auth.testing import ReceivedRequest, Sandbox

from ._crew import LAST_CALL, PATIENT, Call, Report

_LONGEST = 30.0  # seconds that a call may take on a busy machine; delays are of a second at most
_SLACK = 1.0  # seconds in which a caller hears of what the server has done
_DROPPED, _BY_LEVER = "dropped by a lever", "response by a lever"


def account(sandbox: Sandbox, reports: list[Report]) -> tuple[Counter[str], list[str]]:
    """Return how many calls ended in which way for which reason, and what is not as promised.

    Args:
        sandbox: What the server has received.
        reports: Those of the processes; all but the first share a cache.
    """
    reasons: Counter[str] = Counter()
    calls = {call.id: call for report in reports for call in report.calls}
    faults = []
    for one in sandbox.received:
        call = calls.get(one.headers.get("user-agent", ""))
        if call is None:
            faults.append(f"a request of no call: {one}")
        else:
            (call.token_requests if one.path == "/oauth/token" else call.requests).append(one)
    for report in reports:
        for call in report.calls:
            reason = _reason(call, report.calls)
            reasons[f"{call.outcome}: {reason or 'NO REASON'}"] += 1
            faults += [f"{fault}: {_told(call)}" for fault in _broken_rules(call, reason)]
    if sum(call.outcome in ("200", "201") for call in calls.values()) < len(calls) / 3:
        faults.append("less than a third of the calls have succeeded")
    basic = base64.b64encode(f"{sandbox.client_id}:{sandbox.client_secret}".encode()).decode()
    tokens = {_token_of(one) for call in calls.values() for one in call.requests}
    for report in reports:
        shown = (
            text for text in report.shown for one in {sandbox.client_secret, basic, *tokens} if one in text
        )
        faults += [f"a secret is shown: {text}" for text in shown]
        faults += [f"left over: {one}" for one in report.leftovers]
    return reasons, [*faults, *_needless_tokens(reports[:1]), *_needless_tokens(reports[1:])]


def _broken_rules(call: Call, reason: str | None) -> Iterator[str]:
    rejected = sum(one.status == 401 for one in call.requests)
    carried_out = sum(one.status in (200, 201) for one in call.requests)
    if reason is None:
        yield "it ended so without a reason"
    if carried_out > 1 or (carried_out and call.outcome.startswith("Token")):
        yield "it was carried out twice, or in spite of an error"
    if any(one.body != call.content for one in call.requests if one.status is not None):
        yield "its body did not arrive as it was sent"
    if any(one.status != 401 or _token_of(one) == _token_of(again) for one, again in pairwise(call.requests)):
        yield "it was replayed without a 401, or with the rejected token"
    if len(call.requests) > (1 if call.body == "generator" else 3) or len(call.token_requests) > 1 + rejected:
        yield "it was replayed too often, or has fetched too many tokens"
    if call.outcome.isdecimal() and [str(one.status) for one in call.requests[-1:]] != [call.outcome]:
        yield "it got another response than the last one"
    if call.ended - call.started > _LONGEST or (call.name == LAST_CALL and call.outcome != "200"):
        yield "it took too long, or failed when nothing went wrong any more"


def _reason(call: Call, others: list[Call]) -> str | None:
    """Why a call ended as it did, by the record of its process; None if nothing explains it."""
    match call.outcome:
        case "200" | "201":
            return "replayed" if len(call.requests) > 1 else "accepted"
        case "401":
            return _reason_of_401(call, others)
        case "503" if call.requests and _BY_LEVER in call.requests[-1].reason:
            return "a response of the server"
        case "cancelled" if call.cancel_after is not None:
            return "by its caller"
        case "TokenRequestError" if _token_requests(call, others, _BY_LEVER, before=60):
            return "a bad token response"
        case "TokenTimeoutError" if _token_requests(call, others, _DROPPED, before=_SLACK) >= 2:
            return "two token requests were dropped"
        case "transport error" if any(_DROPPED in one.reason for one in call.received):
            return "the server dropped its connection"
        case "TokenTimeoutError" | "transport error" if call.timeout < PATIENT:
            return "it had little time"
        # Threads may lose a connection to each other, between httpcore's look whether it is idle and its
        # look whether there is something to read.
        case "transport error" if " httpx " in call.id and call.detail.startswith("ReadTimeout"):
            return "a race in httpcore"
    return None


def _token_requests(call: Call, others: list[Call], reason: str, *, before: float) -> int:
    """Count what the process has sent to the token endpoint until the end of this call, and met with this."""
    found = [one for other in others for one in other.token_requests if reason in one.reason]
    return sum(call.started - before <= one.at <= call.ended for one in found)


def _reason_of_401(call: Call, others: list[Call]) -> str | None:
    last = call.requests[-1]
    if "lacks permission" in last.reason:
        return "permission is missing"
    if call.body == "generator":
        return "its body can be sent once"
    # The token of the replay was fetched after the 401, and rejected too; or it was the second replay.
    requests = [one for other in others for one in other.requests]
    first_used = min(one.at for one in requests if _token_of(one) == _token_of(last))
    if len(call.requests) == 3 or (len(call.requests) == 2 and first_used >= call.requests[0].at):
        return "the token of the replay was revoked too"
    if _rejected_in_a_row(call, [other for other in others if other.name == call.name]) >= 3:
        return "throttled"
    return None


def _rejected_in_a_row(call: Call, alike: list[Call]) -> int:
    """Count the tokens that were rejected for such calls since a replay with a newer token was accepted."""
    requests = sorted((one for other in alike for one in other.requests), key=lambda one: one.at)
    rejected = {_token_of(one): one.at for one in reversed(requests) if one.status == 401}
    helped = [
        one.at
        for other in alike
        for one in other.requests[1:]
        if other.outcome == str(one.status) != "401"
        and one.at < min(rejected.get(_token_of(one), one.at + 1), call.requests[-1].at - _SLACK)
    ]
    since = max(helped, default=0.0) - _SLACK
    return sum(since < at <= call.ended for at in rejected.values())


def _needless_tokens(reports: list[Report]) -> Iterator[str]:
    """Check that each token but the first took the place of one that was rejected.

    A caller with little time may not have waited for another one's token, or for the cache.
    """
    calls = [call for report in reports for call in report.calls]
    rejected = {_token_of(one) for call in calls for one in call.requests if one.status == 401}
    fetched = [one for call in calls if call.outcome.isdecimal() for one in call.token_requests]
    received = sum(one.status == 200 and one.reason in {"", "delayed by a lever"} for one in fetched)
    hurried = sum(len(call.token_requests) for call in calls if call.timeout < PATIENT)
    failures = sum(text.startswith("the token cache") for report in reports for text in report.shown)
    if received > 1 + len(rejected) + hurried + failures:
        yield f"too many tokens were fetched: {received}, and only {len(rejected)} were rejected"


def _told(call: Call) -> str:
    times = "; ".join(f"{one.at - call.started:.3f} s {_token_of(one)[:5]} {one}" for one in call.received)
    return f"{call.id}, {call.name} {call.body}, {call.outcome} {call.detail}; received: {times}"


def _token_of(request: ReceivedRequest) -> str:
    return request.headers.get("authorization", "").removeprefix("Bearer ")
