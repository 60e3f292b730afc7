"""The table of keys is complete and consistent."""

from __future__ import annotations

from dataclasses import fields

from vault_scheduler.parsing.keys import ALIASES, FORBIDDING, FOREIGN, GROUPS, KEYS, POLICIES, SETTINGS, TASK, reference
from vault_scheduler.settings import Settings
from vault_scheduler.task import ClaudeAction, CommandAction, Policies, PythonAction

# The contract's keys, group by group.
TASK_KEYS = """
    cron every at after after_outcome on_change debounce on_start
    timezone start until max_runs
    type status enabled paused_until run_now id host
    command call args python
    permissions allowed_tools disallowed_tools model fallback_model max_turns max_usd max_usd_day session
    system_prompt mcp_config skills add_dirs
    cwd env secrets timeout retries retry_delay overlap catch_up max_late pause_after group
    gate expect_file expect_output
    output log keep_runs notify notify_to ping_url
    last_run last_status next_run status_reason question answer
"""
SETTINGS_KEYS = """
    status paused_until host timezone max_parallel max_claude vault_max_usd_day max_usage daily_log_in
    daily_log_heading note_quiet note_interval notify_to daemon_ping_url quiet_hours
"""


def test_every_key_of_the_contract_is_in_the_table() -> None:
    """No key more and no key less than the contract names, for task notes and for the settings note."""
    assert {key.name for key in KEYS.values() if TASK in key.where} == set(TASK_KEYS.split())
    assert set(SETTINGS_KEYS.split()) <= {key.name for key in KEYS.values() if SETTINGS in key.where}


def test_policies_are_the_policy_keys() -> None:
    """What `Policies` resolves is what the table calls a policy."""
    assert {field.name for field in fields(Policies)} == set(POLICIES)


def test_every_setting_and_action_field_has_a_key() -> None:
    """No field of settings or actions is out of reach of a note."""
    named = {f.name for data in (Settings, CommandAction, PythonAction, ClaudeAction) for f in fields(data)}
    assert named - {"options"} <= set(KEYS)


def test_keys_are_consistent() -> None:
    """Groups exist; aliases and foreign names lead to keys of ours and are none themselves."""
    assert {key.group for key in KEYS.values()} == set(GROUPS)
    for name in (*ALIASES.values(), *FOREIGN.values()):
        assert name in KEYS, name
    assert not (set(ALIASES) | set(FOREIGN)) & set(KEYS)
    assert set(FORBIDDING) <= set(FOREIGN)


def test_reference_names_every_key_once() -> None:
    """The reference has one row per key."""
    rows = [line for line in reference().splitlines() if line.startswith("| `")]
    assert len(rows) == len(KEYS)
    assert all(row.count("|") == 5 for row in rows)
