"""The built-in task `github_watch` against a server on the loopback interface that behaves like GitHub's."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vault_scheduler.builtin.github_watch import run
from vault_scheduler.builtin.parts.github_api import GitHubError, Refused
from vault_scheduler.errors import BadValue
from vault_scheduler.text.harmless import harmless_markdown

if TYPE_CHECKING:
    from tests.process.github_server import GitHubServer

NOW = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
REPO, OTHER = "octo/hello", "octo/world"
Watch = Callable[..., str]


@pytest.fixture
def watch(github: GitHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    for name in ("GITHUB_TOKEN", "VAULT_SCHED_RUN"):
        monkeypatch.delenv(name, raising=False)
    for kind in ("releases", "commits", "issues"):
        github.lists[f"{REPO}/{kind}"] = []

    def watch(now: datetime = NOW, **args: object) -> str:
        said = run(tmp_path / "memory.json", now, **{"repos": REPO, **args})["markdown"]
        assert harmless_markdown(said) == said
        return said

    return watch


def at(days_ago: float) -> str:
    return (NOW - timedelta(days=days_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_the_first_run_tells_of_the_last_days(github: GitHubServer, watch: Watch) -> None:
    """Releases, commits and issues of the last week, newest first, with links; pull requests and drafts are none."""
    github.release(REPO, "v1.0", at(20))
    github.release(REPO, "v1.1", at(2), name="The quick one")
    github.release(REPO, "v2.0-rc1", at(0), prerelease=True)
    github.release(REPO, "v2.0", at(0), draft=True)
    github.commit(REPO, "fix: the door\n\nlong story", at(1))
    github.issue(REPO, 7, "It [breaks] <b>", at(3))
    github.issue(REPO, 8, "A pull request", at(1), pull_request={})
    sha = github.lists[f"{REPO}/commits"][0]["sha"]
    assert watch() == (
        "**2 releases, 1 commit, 1 issue** in 1 of 1 repository. "
        "The first look at octo/hello begins on 2026-11-15.\n\n"
        "**octo/hello**\n\n"
        "- 🏷 [v2.0-rc1 (pre-release)](https://github.com/octo/hello/releases/tag/v2.0-rc1) · today\n"
        "- 🏷 [v1.1](https://github.com/octo/hello/releases/tag/v1.1) · The quick one · 2 days ago\n"
        f"- [fix: the door](https://github.com/octo/hello/commit/{sha}) · Ana · yesterday\n"
        "- 🐞 [\\#7](https://github.com/octo/hello/issues/7) It \\[breaks\\] \\<b\\> · tom · 3 days ago"
    )


def test_nothing_is_told_twice_and_unchanged_lists_are_not_sent_again(github: GitHubServer, watch: Watch) -> None:
    """The second run asks with the ETags of the first, and tells only what came since."""
    github.release(REPO, "v1.1", at(2))
    watch()
    assert watch() == "Nothing new in 1 repository."
    assert github.statuses == [200] * 3 + [304] * 3
    github.commit(REPO, "feat: a window", at(-1))
    said = watch(NOW + timedelta(days=2))
    assert "**1 commit** in 1 of 1 repository." in said
    assert "v1.1" not in said
    assert github.statuses[6:] == [304, 200, 304]


def test_more_than_a_page_is_read_to_what_is_known(github: GitHubServer, watch: Watch) -> None:
    """All new commits count, over several pages; pages of what is known already are not asked for."""
    for number in range(60):
        github.commit(REPO, f"old {number}", at(100 - number))
    watch(what="commits", since="365d")
    assert [path.rpartition("page=")[2] for path in github.asked] == ["50", "2"]
    for number in range(120):
        github.commit(REPO, f"new {number}", at(0))
    said = watch(NOW + timedelta(hours=1), what="commits", limit=3)
    assert "**120 commits**" in said
    assert "- … and 117 more" in said
    assert [path.rpartition("page=")[2] for path in github.asked[2:]] == ["50", "2", "3"]


def test_an_old_item_that_moves_up_is_not_new(github: GitHubServer, watch: Watch) -> None:
    """Where something is deleted, an item from long ago that was never told comes into view: it is no news."""
    for number in range(50):
        github.issue(REPO, number, f"issue {number}", at(90 - number))
    watch(what="issues")
    del github.lists[f"{REPO}/issues"][0]
    github.lists[f"{REPO}/issues"].append({**github.lists[f"{REPO}/issues"][-1], "number": 999})
    assert watch(what="issues") == "Nothing new in 1 repository."


def test_a_lost_memory_is_like_a_first_run(github: GitHubServer, watch: Watch, tmp_path: Path) -> None:
    """Without the state of the last run the last days are told again, and no more."""
    github.release(REPO, "v1.0", at(30))
    github.release(REPO, "v1.1", at(2))
    first = watch()
    (tmp_path / "memory.json").write_text("{ damaged")
    assert watch() == first
    assert run(None, NOW, repos=REPO)["markdown"] == first


def test_an_attempt_that_is_made_again_tells_the_same(
    github: GitHubServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may have read what the first attempt of a run brought; the next run does not tell it again."""
    github.release(REPO, "v1.1", at(2))
    monkeypatch.setenv("VAULT_SCHED_RUN", "r-1")
    assert "v1.1" in watch()
    assert "v1.1" in watch()
    monkeypatch.setenv("VAULT_SCHED_RUN", "r-2")
    assert "Nothing new" in watch()


@pytest.mark.parametrize(
    ("headers", "until"),
    [
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 1800)}, " until 09:00"),
        ({"Retry-After": "7200"}, " until 10:30"),
        ({"Retry-After": "86400"}, " until 2026-11-23 08:30"),
        ({}, ""),
    ],
)
def test_a_limit_ends_the_asking_and_loses_nothing(
    github: GitHubServer, watch: Watch, headers: dict[str, str], until: str
) -> None:
    """What was answered is told; what was not is named with the time, and told by the next run."""
    for kind in ("releases", "commits", "issues"):
        github.lists[f"{OTHER}/{kind}"] = []
    github.release(REPO, "v1.1", at(2))
    github.commit(REPO, "feat: a window", at(1))
    github.release(OTHER, "v9", at(1))
    github.after, github.limit_headers = 1, headers
    said = watch(repos=[REPO, OTHER])
    assert "**1 release** in 1 of 2 repositories, 2 could not be asked." in said
    assert f"- octo/world · the rate limit is used up{until}" in said
    assert len(github.asked) == 2  # no question after the limit
    github.after = None
    again = watch(repos=[REPO, OTHER])
    assert "feat: a window" in again
    assert "[v9]" in again
    assert "[v1.1]" not in again


def test_a_run_in_which_nothing_was_answered_fails(github: GitHubServer, watch: Watch) -> None:
    """A limit from the start is a failure that says until when, and what would help."""
    github.after = 0
    github.limit_headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(NOW.timestamp()) + 1800)}
    with pytest.raises(GitHubError, match=r"rate limit is used up until 09:00 \(more with `secrets: \[GITHUB_TOKEN\]`"):
        watch()


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        ((404, {}, "{}"), "there is no such repository"),
        ((500, {}, "<html>"), "answer 500"),
        ((403, {}, '{"message": "Repository access blocked"}'), "answer 403: Repository access blocked"),
        ((200, {}, "not json"), "the answer is not JSON"),
        ((200, {}, '{"a": 1}'), "the answer is not a list"),
        ((302, {"Location": "http://127.0.0.2:9/elsewhere"}, ""), "answer 302"),
    ],
)
def test_one_repository_in_trouble_does_not_hide_the_others(
    github: GitHubServer, watch: Watch, refusal: tuple[int, dict[str, str], str], why: str
) -> None:
    """The others are told, and this one is named with the reason; a redirect to another host is not followed."""
    github.release(REPO, "v1.1", at(2))
    github.refuse[f"{OTHER}/releases"] = refusal
    said = watch(repos=f"{OTHER}, {REPO}")
    assert "[v1.1]" in said
    assert f"- octo/world · {why}" in said


def test_a_moved_repository_is_followed(github: GitHubServer, watch: Watch) -> None:
    """A redirect on the same host leads to the repository's new place."""
    github.release(REPO, "v1.1", at(2))
    github.refuse[f"{OTHER}/releases"] = (301, {"Location": f"{github.url}/repos/{REPO}/releases?per_page=50"}, "")
    assert "[v1.1]" in watch(repos=OTHER, what="releases")


def test_a_repository_without_commits_or_issues_has_no_news(github: GitHubServer, watch: Watch) -> None:
    """GitHub answers 409 for an empty repository and 410 where issues are switched off."""
    github.refuse[f"{REPO}/commits"] = (409, {}, '{"message": "Git Repository is empty."}')
    github.refuse[f"{REPO}/issues"] = (410, {}, '{"message": "Issues are disabled"}')
    assert watch() == "Nothing new in 1 repository."


def test_the_token_is_sent_and_a_wrong_one_fails_at_once(
    github: GitHubServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GITHUB_TOKEN goes to the server, and its refusal is told with the cure, not retried, and without the token."""
    github.token = "a-good-token"
    monkeypatch.setenv("GITHUB_TOKEN", "a-good-token")
    assert watch() == "Nothing new in 1 repository."
    monkeypatch.setenv("GITHUB_TOKEN", "a-bad-token")
    with pytest.raises(Refused, match="refuses the token") as refused:
        watch(repos=[OTHER, REPO])
    assert not refused.value.retryable
    assert "a-bad-token" not in str(refused.value)
    assert len(github.asked) == 4


def test_a_server_that_is_silent_or_away_is_asked_once(
    github: GitHubServer, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer in time, and nobody at the address, end the run with the reason, however many repositories wait."""
    github.slow_s = 1.4
    with pytest.raises(GitHubError, match="no answer within 1 s"):
        watch(repos=[REPO, OTHER], timeout="1s")
    assert len(github.asked) <= 1
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("GITHUB_API_URL", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(GitHubError, match="cannot be reached"):
            watch(repos=[REPO, OTHER])


def test_a_token_never_goes_over_an_open_line(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain http address is refused where a token would be sent to it."""
    monkeypatch.setenv("GITHUB_TOKEN", "a-good-token")
    monkeypatch.setenv("GITHUB_API_URL", "http://github.example.org")
    with pytest.raises(BadValue, match="not encrypted"):
        watch()


@pytest.mark.parametrize(
    "args",
    [
        {"repos": None},
        {"repos": "octo"},
        {"repos": "octo/../secrets"},
        {"repos": "octo/hello/issues"},
        {"repos": "https://github.com/octo/hello"},
        {"what": "stars"},
        {"since": "7"},
        {"timeout": "0s"},
    ],
)
def test_an_argument_without_meaning_is_refused(github: GitHubServer, watch: Watch, args: dict[str, object]) -> None:
    """Nothing is asked where an argument cannot be meant."""
    with pytest.raises(BadValue):
        watch(**args)
    assert github.asked == []


def test_odd_items_and_hostile_texts_do_no_harm(github: GitHubServer, watch: Watch) -> None:
    """Items without a date, links that are none and titles that would act are shown as text or left out."""
    github.lists[f"{REPO}/issues"] = [{}, {"created_at": 3}, {"created_at": "soon"}]
    github.lists[f"{REPO}/commits"] = [{"commit": None}, {"commit": {"author": None, "committer": None}}]
    github.issue(REPO, 9, "![x](http://evil/a.png) <img src=x> %%", at(0), html_url="javascript:alert(1)")
    github.issue(REPO, 10, "y", at(0), html_url="https://a) ![x](https://b")
    said = watch()
    assert "javascript" not in said
    assert "](https://a)" not in said
    assert "![" not in said


def test_only_the_branch_and_final_releases_that_are_asked_for(github: GitHubServer, watch: Watch) -> None:
    """`branch` is asked of the server, `prereleases=false` leaves out what is not final, memories stay apart."""
    github.release(REPO, "v2.0-rc1", at(0), prerelease=True)
    github.commit(REPO, "a", at(0))
    watch(what="commits")
    assert "1 commit" in watch(what="commits", branch="next")
    assert "sha=next" in github.asked[-1]
    assert "Nothing new" in watch(what="releases", prereleases=False)


def test_the_memory_stays_small(github: GitHubServer, watch: Watch, tmp_path: Path) -> None:
    """What is remembered of a list is bounded, and of repositories that are not watched any more nothing."""
    for number in range(700):
        github.commit(REPO, f"c {number}", at(0))
    watch(what="commits", since="365d")
    github.lists[f"{OTHER}/commits"] = []
    watch(repos=OTHER, what="commits")
    known = json.loads((tmp_path / "memory.json").read_text())["now"]
    assert [key.split()[1] for key in known] == [OTHER]
    assert (tmp_path / "memory.json").stat().st_size < 30_000
