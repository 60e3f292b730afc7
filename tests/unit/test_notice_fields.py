"""`notify`, `notify_to`, `ping_url`, `quiet_hours`: what is taken, and what is said of the rest."""

from __future__ import annotations

from datetime import time

import pytest

from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.notice_fields import notifier_names, quiet_hours, topics, web_address
from vault_scheduler.task import USUAL_TOPICS, Topic


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("failure", (Topic.FAILURE,)),
        (["failure", "Success", "failure"], (Topic.FAILURE, Topic.SUCCESS)),
        ("failure, success", (Topic.FAILURE, Topic.SUCCESS)),
        ("none", ()),
        ([], ()),
        ("off", ()),
        (False, ()),
        (True, USUAL_TOPICS),
        ("all", tuple(Topic)),
    ],
)
def test_topics_are_words_or_none(value: object, meant: tuple[Topic, ...]) -> None:
    """A word, a list, `none` and `all`, as people write them."""
    assert topics(value) == meant


@pytest.mark.parametrize(
    ("reader", "value", "message", "fix"),
    [
        (topics, "errors", "`errors` is not a known value", "failure"),
        (topics, ["failure", "sucess"], "`sucess` is not a known value", "success"),
        (notifier_names, "ntfy://topic", "takes names, for an address is a secret", "below [notify]"),
        (web_address, "hc-ping.com/uuid", "is not a web address", "https://hc-ping.com/"),
        (web_address, "ftp://x/y", "is not a web address", "https://"),
        (web_address, "https://", "is not a web address", "https://"),
        (web_address, "https://host:99999/", "is not a web address", "https://"),
        (quiet_hours, "22-7", "is no span of hours", '"22:00-07:00"'),
        (quiet_hours, "22:00-27:00", "holds no time of day", '"22:00-07:00"'),
        (quiet_hours, "07:00-07:00", "begin and end are the same", "notify: none"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_cure(reader: object, value: object, message: str, fix: str) -> None:
    """Reason and fix."""
    with pytest.raises(BadValue) as refused:
        reader(value)  # type: ignore[operator]
    assert message in refused.value.message
    assert fix in refused.value.fix


def test_hours_are_read_as_people_write_them() -> None:
    """With a dash of any kind; 24:00 is midnight."""
    for written in ("22:00-07:00", "22:00 – 7:00", "22:00 to 07:00"):
        assert quiet_hours(written) == (time(22), time(7))
    assert quiet_hours("20:30-24:00") == (time(20, 30), time(0))


def test_addresses_and_names_are_taken_as_they_are() -> None:
    """Each once."""
    assert web_address("https://hc-ping.com/u?create=1") == "https://hc-ping.com/u?create=1"
    assert notifier_names(["phone", "mail", "phone"]) == ("phone", "mail")
