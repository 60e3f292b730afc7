"""Whether a run can be paid for (rule 9). Pure; money in US dollars."""

from __future__ import annotations

import math

_CENT_DUST = 1e-9  # sums of floats: five times 0.10 must still fit into 0.50


def affordable(
    *,
    spent_task: float,
    spent_vault: float,
    reserved_task: float,
    reserved_vault: float,
    ask: float,
    task_cap: float | None,
    vault_cap: float,
) -> str | None:
    """None if a run that may cost `ask` fits into both caps of the day, else the reason for people.

    Reserved is what the claimed and running runs may still cost, without this one. A run that costs nothing
    always fits. `task_cap` None: only the vault's cap counts.
    """
    if ask <= 0:
        return None
    if task_cap is not None:
        reason = _too_much("max_usd_day", task_cap, spent_task, reserved_task, ask)
        if reason:
            return reason
    return _too_much("vault_max_usd_day", vault_cap, spent_vault, reserved_vault, ask)


def _too_much(key: str, cap: float, spent: float, reserved: float, ask: float) -> str | None:
    if spent + reserved + ask <= cap + _CENT_DUST:
        return None
    parts = [f"${spent:.2f} spent today"]
    if reserved > 0:
        parts.append(f"${reserved:.2f} reserved")
    return f"budget: {' + '.join(parts)} + ${ask:.2f} for this run is more than {key} ${cap:.2f}"


def not_retried(left: float, dearest: float) -> str:
    """Why a run makes no other attempt although it might: too little money is left; "" if it is enough.

    `left` is what is left of the run's `max_usd`, `dearest` what its dearest attempt so far was charged. A session is
    measured after each turn, so another one like that would go over the cap, and nothing would come of it.
    """
    return "" if dearest <= left + _CENT_DUST else f"${left:.2f} is left of max_usd"


def charge(seen_usd: float | None, max_usd: float, *, complete: bool) -> float:
    """What an attempt is booked with: its cost; without a final message at least `max_usd`, for nobody knows."""
    if seen_usd is None or not math.isfinite(seen_usd):
        return max_usd
    seen = max(0.0, seen_usd)
    return seen if complete else max(seen, max_usd)
