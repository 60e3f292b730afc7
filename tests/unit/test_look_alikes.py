"""Which keys are taken for ours, and which are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.parsing.keys import FOREIGN, KEYS
from vault_scheduler.parsing.look_alikes import Likeness, near

# Properties of real vaults: core Obsidian, popular plugins (Dataview, Tasks, Kanban, Linter, Templater, Zotero,
# Readwise, Projects, Full Calendar, Periodic Notes), and what people use everywhere.
OBSIDIAN = """
    tags tag aliases alias cssclass cssclasses publish permalink description image cover title created updated
    modified date author authors name source url link links up down prev next parent child related topic topics
    category categories area project projects priority due scheduled completed completion deadline effort energy
    rating score stars year month week day time duration location place address city country people person
    attendees participants contact email phone company role stage state phase progress done read reviewed review
    reminder banner banner_y icon color colour weight height width order sort rank version lang language draft
    archived private public favorite pinned note notes comment comments summary abstract keywords isbn doi citekey
    publisher series genre director cast kanban-plugin excalidraw-plugin date_created date_modified
    creation_date last_modified mtime ctime uid uuid zettel moc index class kind group_name allDay startTime endTime
    startDate daysOfWeek lesson course subject teacher grade mood weather sleep steps calories recipe servings
    price cost amount currency budgeted expense income invoice client customer ticket issue sprint epic story
    points assignee reporter owner team obsidianUIMode obsidianEditingMode template folder file path extension
    size count total average min max stats star event events gate_code even ever mode theme layout style
""".split()  # noqa: SIM905


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("timout", "timeout"),
        ("tiemout", "timeout"),
        ("timeouts", "timeout"),
        ("crn", "cron"),
        ("corn", "cron"),
        ("cronn", "cron"),
        ("typ", "type"),
        ("evry", "every"),
        ("modle", "model"),
        ("statsu", "status"),
        ("statuss", "status"),
        ("retires", "retries"),
        ("retrydelay", "retry_delay"),
        ("pausd_until", "paused_until"),
        ("dissalowed_tools", "disallowed_tools"),
        ("permisions", "permissions"),
        ("max_usdd", "max_usd"),
        ("timezon", "timezone"),
        ("shedule", "cron"),  # by way of the alias
        ("run_nwo", "run_now"),
    ],
)
def test_slips_of_the_hand_are_seen(written: str, meant: str) -> None:
    """One slip (two in long names) still names our key."""
    alike = near(written)
    assert alike is not None
    assert (alike.name, alike.likeness) == (meant, Likeness.SLIP)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("maxUsd", "max_usd"),
        ("max-late", "max_late"),
        ("Max Late", "max_late"),
        ("Status", "status"),
        ("CRON", "cron"),
        ("“cron”", "cron"),
        ("Schedule", "cron"),
        ("TZ", "timezone"),
    ],
)
def test_other_spellings_are_seen(written: str, meant: str) -> None:
    """Case, dashes, blanks, camel case and curly quotes do not make another name."""
    alike = near(written)
    assert alike is not None
    assert (alike.name, alike.likeness) == (meant, Likeness.SPELLING)


@pytest.mark.parametrize(
    "written", ["permission_mode", "permissionMode", "max_budget_usd", "tools", "interval", "prompt"]
)
def test_other_dialects_are_seen(written: str) -> None:
    """What other schedulers and agents call our keys."""
    alike = near(written)
    assert alike is not None
    assert alike.likeness is Likeness.DIALECT


@pytest.mark.parametrize("name", OBSIDIAN)
def test_properties_of_real_vaults_are_left_alone(name: str) -> None:
    """A person's own property raises no false alarm."""
    assert near(name) is None or name in FOREIGN or name in ("startDate",)


def test_what_the_scheduler_writes_is_nobodys_slip() -> None:
    """`answers` is a property of its own, not a misspelled `answer`."""
    for key in KEYS.values():
        if key.ours:
            assert near(f"{key.name}s") is None


@given(st.text(max_size=30))
def test_any_name_can_be_judged(name: str) -> None:
    """No name of a property is too odd to be compared."""
    alike = near(name)
    assert alike is None or alike.name in KEYS or alike.name == "prompt"
