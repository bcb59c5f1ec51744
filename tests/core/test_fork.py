"""A forked child does not wait for threads that it does not have."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.processes import fork_with_threads, in_a_child, needs_fork
from tests.support.renewals import LONG, Driven
from thebase_auth._core.renewal import Renewal
from thebase_auth._core.token import Token

pytestmark: list[pytest.MarkDecorator] = [needs_fork, fork_with_threads]


def test_child_can_lead_although_a_thread_of_the_parent_holds_the_lock(renewal: Renewal) -> None:
    held, forked = threading.Event(), threading.Event()

    def hold() -> None:
        with renewal._lock:
            held.set()
            forked.wait(LONG)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        assert held.wait(LONG)
        try:
            assert in_a_child(lambda: Driven(renewal).is_fetching)
        finally:
            forked.set()


def test_child_and_grandchild_do_not_wait_for_a_flight_of_the_parent(renewal: Renewal) -> None:
    leader = Driven(renewal)

    def child() -> bool:
        own = Driven(renewal)
        return own.is_fetching and in_a_child(lambda: Driven(renewal).is_fetching)

    assert in_a_child(child)
    leader.go_on(Token("of the parent"))
    assert renewal.token == "of the parent"


def test_child_goes_on_with_the_token_of_its_parent(renewal: Renewal, token: Token) -> None:
    assert in_a_child(lambda: Driven(renewal).result is token)


def test_caller_that_forks_while_it_waits_or_leads_goes_on_in_the_child(renewal: Renewal) -> None:
    leader, waiter = Driven(renewal), Driven(renewal)

    def lead() -> bool:
        leader.go_on(Token("of the child"))
        return leader.result == renewal.token == Token("of the child")

    def wait() -> bool:
        waiter.wait_in_vain()
        return waiter.is_fetching

    assert in_a_child(lead)
    assert in_a_child(wait)
