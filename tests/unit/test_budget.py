"""Money: what fits into the caps of a day, and what an attempt is booked with."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.planning.budget import affordable, charge, not_retried


@pytest.mark.parametrize(
    ("task", "vault", "ask", "task_cap", "vault_cap", "named"),
    [
        ((0, 0), (0, 0), 0.5, None, 5.0, None),  # the first run of the day
        ((0, 0), (4.5, 0), 0.5, None, 5.0, None),  # exactly fits
        ((0, 0), (4.51, 0), 0.5, None, 5.0, "vault_max_usd_day"),  # a cent too much
        ((0, 0), (4.0, 0.6), 0.5, None, 5.0, "vault_max_usd_day"),  # what runs now is reserved
        ((0.9, 0), (0.9, 0), 0.5, 1.0, 5.0, "max_usd_day"),  # the task's own cap
        ((0.2, 0.4), (0.6, 0.4), 0.5, 1.0, 5.0, "max_usd_day"),  # its own running run is reserved
        ((0.9, 0), (0.9, 0), 0.5, None, 5.0, None),  # no cap of its own
        ((0, 0), (0, 0), 6.0, None, 5.0, "vault_max_usd_day"),  # can never fit
        ((0, 0), (9.0, 0), 0.0, 0.0, 5.0, None),  # what costs nothing needs no budget
        ((0, 0), (0, 0), 0.5, None, 0.0, "vault_max_usd_day"),  # a cap of nothing
        ((0.4, 0), (0.4, 0), 0.1, 0.5, 5.0, None),  # 0.1 + 0.1 + 0.1 + 0.1 is not 0.4 in floats
    ],
)
def test_a_run_starts_only_if_it_fits_into_both_caps(
    task: tuple[float, float],
    vault: tuple[float, float],
    ask: float,
    task_cap: float | None,
    vault_cap: float,
    named: str | None,
) -> None:
    """Rule 9: spent + reserved + own maximum, for the task and for the vault; the reason names the cap."""
    reason = affordable(
        spent_task=task[0],
        spent_vault=vault[0],
        reserved_task=task[1],
        reserved_vault=vault[1],
        ask=ask,
        task_cap=task_cap,
        vault_cap=vault_cap,
    )
    assert (named in reason.split()) if named and reason else (reason is None and named is None)


def test_the_reason_shows_the_sum() -> None:
    """People see what was spent, what is reserved and what the run could cost."""
    reason = affordable(
        spent_task=0, spent_vault=4, reserved_task=0, reserved_vault=1, ask=0.5, task_cap=None, vault_cap=5
    )
    assert reason == (
        "budget: $4.00 spent today + $1.00 reserved + $0.50 for this run is more than vault_max_usd_day $5.00"
    )


@given(asks=st.lists(st.sampled_from([0.1, 0.25, 0.5, 1.0]), max_size=60), cap=st.sampled_from([0.5, 1.0, 5.0]))
def test_reserving_before_the_start_never_overspends(asks: list[float], cap: float) -> None:
    """However many runs start at once, their maxima together stay within the cap."""
    reserved = 0.0
    for ask in asks:
        if affordable(
            spent_task=0, spent_vault=0, reserved_task=0, reserved_vault=reserved, ask=ask, task_cap=None, vault_cap=cap
        ):
            continue
        reserved += ask
    assert reserved <= cap + 1e-6


@pytest.mark.parametrize(
    ("seen", "complete", "booked"),
    [
        (0.11, True, 0.11),  # the final message says what it cost
        (0.61, True, 0.61),  # overran its maximum by one turn
        (None, True, 0.5),  # a final message without a cost
        (None, False, 0.5),  # killed before anything was seen
        (0.2, False, 0.5),  # killed on the way: nobody knows the rest
        (0.7, False, 0.7),  # seen more than the maximum
        (0.0, True, 0.0),  # paid by the plan
        (math.nan, True, 0.5),  # no number: a record that was tampered with is no free run
        (math.inf, True, 0.5),  # nor does it use up the budget for ever
    ],
)
def test_an_attempt_without_a_final_message_is_booked_with_its_maximum(
    seen: float | None, complete: bool, booked: float
) -> None:
    """Rule 9: max(usage seen, max_usd)."""
    assert charge(seen, 0.5, complete=complete) == booked


@pytest.mark.parametrize(
    ("left", "dearest", "reason"),
    [
        (0.5, 0.0, ""),  # no attempt has cost anything
        (0.3, 0.2, ""),
        (0.3 - 0.1, 0.2, ""),  # 0.3 - 0.1 is not 0.2 in floats
        (0.2, 0.3, "$0.20 is left of max_usd"),
        (0.0, 0.3, "$0.00 is left of max_usd"),
    ],
)
def test_an_attempt_that_cannot_be_paid_for_is_not_made(left: float, dearest: float, reason: str) -> None:
    """What the dearest attempt cost is what another one is expected to cost."""
    assert not_retried(left, dearest) == reason
