"""`call: github_watch`: what is new in GitHub repositories: releases, commits, issues.

It asks GitHub's API and tells what it has not told before, newest first; the first run tells of the last days. What was
told is remembered in the state folder of this machine, not in the vault: if that is lost, the next run is like the
first one. Without a token GitHub answers 60 questions an hour, and each repository takes one for each kind of news.
With `secrets: [GITHUB_TOKEN]` it answers 5,000, for private repositories too, and lists that have not changed do not
count. `env: [GITHUB_API_URL=…]` names another server than api.github.com. What could not be asked is told with the
reason, and asked anew the next time; if nothing could be asked, the run fails.

- `repos`: the repositories, `owner/name`, separated by spaces or as a list
- `what`: which news: `releases`, `commits`, `issues`
- `branch`: the branch whose commits are told; else the default one
- `since`: how far back the first run looks
- `prereleases`: with `false` only releases that are final
- `timeout`: how long an answer may take
- `limit`: how many lines each kind of news has at most, for each repository
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from vault_scheduler.builtin.parts.arguments import chosen, period, words
from vault_scheduler.builtin.parts.github_api import PUBLIC, GitHub, GitHubError, LimitReached, Refused, Unreachable
from vault_scheduler.builtin.parts.memory import Memory
from vault_scheduler.builtin.parts.words import ago, bullets, count
from vault_scheduler.errors import BadValue
from vault_scheduler.parsing.values import boolean, is_unset, text, whole_number
from vault_scheduler.text.harmless import one_line

KINDS = ("releases", "commits", "issues")
PER_PAGE = 50
MAX_PAGES = 6  # of a list, in one run
_REMEMBERED = 400  # of a list
_NAMED = 3  # repositories in a sentence
_OLD = timedelta(days=30)  # what is older than this and unknown has only moved up, for something above it went away
_REPO = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}\Z")
_AT_START = re.compile(r"\A(\d)\\([.)])")  # would begin a list at the start of a line, where no link text stands
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&'*+,;=%-]+\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """One thing that is new. Texts are as GitHub has them."""

    id: str
    at: datetime
    title: str
    url: str
    label: str = ""  # a version, a number
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The arguments, read. `since` is where the first run begins."""

    repos: tuple[str, ...]
    what: tuple[str, ...]
    branch: str
    prereleases: bool
    since: datetime
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What came of one run. `asked` counts the lists that were answered."""

    news: Mapping[str, Mapping[str, Sequence[News]]]  # repository → kind → what is new
    troubles: Mapping[str, str]  # repository → why something of it could not be asked
    first: frozenset[str] = frozenset()  # repositories that were never asked before
    asked: int = 0
    limit_until: datetime | None = None


def run(
    memory: Path | None,
    now: datetime,
    /,
    *,
    repos: object = None,
    what: object = "releases commits issues",
    branch: object = None,
    since: object = "7d",
    prereleases: object = True,
    timeout: object = "15s",
    limit: object = 10,
) -> dict[str, str]:
    """What is new, as markdown. `now` is local to the task's zone.

    Raises BadValue for an argument without meaning, and GitHubError if nobody answers.
    """
    rules = Rules(
        repos=_repos(repos),
        what=chosen(what, "what", KINDS),
        branch="" if is_unset(branch) else text(branch, "branch"),
        prereleases=boolean(prereleases, "prereleases"),
        since=now - period(since, "since", minimum=timedelta(hours=1)),
        limit=whole_number(limit, "limit", minimum=1),
    )
    answer_s = period(timeout, "timeout", minimum=timedelta(seconds=1)).total_seconds()
    url = os.environ.get("GITHUB_API_URL") or PUBLIC
    github = GitHub(url, os.environ.get("GITHUB_TOKEN", ""), answer_s, now)
    kept = Memory(memory, os.environ.get("VAULT_SCHED_RUN", ""))
    watch = _Watch(github, rules, kept.known, url, now)
    watched = watch.all()
    if not watched.asked:
        raise GitHubError(_all_failed(watched, now))
    kept.keep(watch.known)
    return {"markdown": report(watched, rules, now)}


def _repos(value: object) -> tuple[str, ...]:
    found = words(value, "repos")
    if not found:
        raise BadValue("`repos` names no repository", "Write `args: [repos=owner/name]`")
    for name in found:
        if not _REPO.match(name):
            raise BadValue(f"`{name}` is no repository", "Write owner/name, as in its address")
    return found


# asking


class _Watch:
    """One run: what is asked, and what will be known afterwards."""

    def __init__(self, github: GitHub, rules: Rules, known: Mapping[str, Any], url: str, now: datetime) -> None:
        wanted = {_key(url, repo, kind, rules.branch) for repo in rules.repos for kind in rules.what}
        self.known: dict[str, Any] = {key: value for key, value in known.items() if key in wanted}
        self._github = github
        self._rules = rules
        self._url = url
        self._now = now
        self._asked = 0

    def all(self) -> Watched:
        """Ask for each repository. A limit, and a server that is silent, end all asking."""
        news: dict[str, dict[str, list[News]]] = {repo: {} for repo in self._rules.repos}
        troubles: dict[str, str] = {}
        first = frozenset(repo for repo in news if not any(key in self.known for key in self._keys(repo)))
        until: datetime | None = None
        for at, repo in enumerate(self._rules.repos):
            try:
                for kind in self._rules.what:
                    news[repo][kind] = self._new(repo, kind)
            except (LimitReached, Unreachable) as error:
                until = error.until if isinstance(error, LimitReached) else None
                troubles.update(dict.fromkeys(self._rules.repos[at:], str(error)))
                break
            except Refused:
                raise
            except GitHubError as error:
                troubles[repo] = str(error)
        return Watched(news=news, troubles=troubles, first=first, asked=self._asked, limit_until=until)

    def _keys(self, repo: str) -> list[str]:
        return [_key(self._url, repo, kind, self._rules.branch) for kind in self._rules.what]

    def _new(self, repo: str, kind: str) -> list[News]:
        """What is new of one kind, newest first; what is known afterwards is noted once all pages are there."""
        key = _key(self._url, repo, kind, self._rules.branch)
        before = _Known.of(self.known.get(key))
        floor = self._rules.since if before is None else before.at - _OLD
        seen = before.ids if before else frozenset()
        path, query = _question(repo, kind, self._rules.branch)
        found: list[News] = []
        ids: list[str] = []
        etag = ""
        for page in range(1, MAX_PAGES + 1):
            paged = query if page == 1 else {**query, "page": page}
            answer = self._github.list(path, paged, before.etag if before and page == 1 else "")
            self._asked += page == 1
            if answer.items is None:
                return []
            etag = answer.etag if page == 1 else etag
            items = [item for raw in answer.items if (item := _READ[kind](raw)) is not None]
            ids += [item.id for item in items]
            found += [item for item in items if item.id not in seen and item.at > floor]
            if not answer.has_more or any(item.id in seen or item.at <= floor for item in items):
                break
        keep = list(dict.fromkeys([*ids, *(before.ordered if before else ())]))[:_REMEMBERED]
        self.known[key] = {"etag": etag, "ids": keep, "at": self._now.astimezone(UTC).isoformat()}
        return [item for item in found if self._rules.prereleases or not item.label.endswith(_PRE)]


def _key(url: str, repo: str, kind: str, branch: str) -> str:
    """The name under which a list is remembered."""
    return f"{url} {repo.lower()}{f'@{branch}' if branch and kind == 'commits' else ''} {kind}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of a list from an earlier run."""

    etag: str
    ordered: tuple[str, ...]
    ids: frozenset[str]
    at: datetime

    @classmethod
    def of(cls, kept: object) -> _Known | None:
        """None for what is not there, or not as we write it."""
        if not isinstance(kept, dict) or not isinstance(kept.get("ids"), list):
            return None
        at = _moment(kept.get("at"))
        ids = tuple(str(each) for each in kept["ids"])
        return cls(etag=str(kept.get("etag", "")), ordered=ids, ids=frozenset(ids), at=at) if at else None


_PRE = " (pre-release)"


def _question(repo: str, kind: str, branch: str) -> tuple[str, dict[str, str | int]]:
    query: dict[str, str | int] = {"per_page": PER_PAGE}
    if kind == "issues":
        query |= {"state": "all", "sort": "created", "direction": "desc"}
    if kind == "commits" and branch:
        query["sha"] = branch
    return f"repos/{repo}/{kind}", query


def _moment(value: object) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _release(raw: Mapping[str, Any]) -> News | None:
    at = _moment(raw.get("published_at")) or _moment(raw.get("created_at"))
    if at is None or raw.get("draft"):
        return None
    tag = str(raw.get("tag_name") or "")
    label = tag + (_PRE if raw.get("prerelease") else "")
    title = str(raw.get("name") or "")
    return _news(raw, str(raw.get("id")), at, "" if title == tag else title, label=label)


def _commit(raw: Mapping[str, Any]) -> News | None:
    commit = raw.get("commit")
    if not isinstance(commit, dict):
        return None
    author, committer = commit.get("author") or {}, commit.get("committer") or {}
    at = _moment(committer.get("date")) or _moment(author.get("date"))
    if at is None:
        return None
    title = str(commit.get("message") or "").strip().split("\n")[0]
    return _news(raw, str(raw.get("sha")), at, title, by=str(author.get("name") or ""))


def _issue(raw: Mapping[str, Any]) -> News | None:
    at = _moment(raw.get("created_at"))
    if at is None or "pull_request" in raw:
        return None
    user = raw.get("user") or {}
    return _news(
        raw,
        str(raw.get("number")),
        at,
        str(raw.get("title") or ""),
        label=f"#{raw.get('number')}",
        by=str(user.get("login") or ""),
    )


def _news(raw: Mapping[str, Any], id: str, at: datetime, title: str, *, label: str = "", by: str = "") -> News:
    return News(id=id, at=at, title=title, url=str(raw.get("html_url") or ""), label=label, by=by)


_READ: Mapping[str, Callable[[Mapping[str, Any]], News | None]] = {
    "releases": _release,
    "commits": _commit,
    "issues": _issue,
}


# telling


def _all_failed(watched: Watched, now: datetime) -> str:
    reason = "; ".join(dict.fromkeys(watched.troubles.values()))
    return f"GitHub was not asked: {reason}{_until(watched.limit_until, now)}"


def _until(until: datetime | None, now: datetime) -> str:
    if until is None:
        return ""
    local = until.astimezone(now.tzinfo)
    hint = "" if os.environ.get("GITHUB_TOKEN") else " (more with `secrets: [GITHUB_TOKEN]`)"
    day = "" if local.date() == now.date() else f"{local:%Y-%m-%d} "
    return f" until {day}{local:%H:%M}{hint}"


def report(watched: Watched, rules: Rules, now: datetime) -> str:
    """The markdown: figures, the news by repository, and what could not be asked."""
    with_news = [repo for repo in rules.repos if any(watched.news.get(repo, {}).values())]
    parts = [_headline(watched, rules, with_news)]
    for repo in with_news:
        lines = [f"**[{repo}](https://github.com/{repo})**" if _public() else f"**{repo}**", ""]
        for kind, items in watched.news[repo].items():
            lines += _lines(kind, items, rules.limit, now)
        parts.append("\n".join(lines))
    if watched.troubles:
        told = [f"{repo} · {one_line(why)}{_until(watched.limit_until, now)}" for repo, why in watched.troubles.items()]
        parts.append("\n".join(["**Could not be asked**", "", *bullets(told, rules.limit)]))
    return "\n\n".join(parts)


def _public() -> bool:
    return not os.environ.get("GITHUB_API_URL") or os.environ["GITHUB_API_URL"].rstrip("/") == PUBLIC


def _headline(watched: Watched, rules: Rules, with_news: Sequence[str]) -> str:
    totals = {kind: sum(len(watched.news[repo].get(kind, ())) for repo in with_news) for kind in rules.what}
    words = [count(number, kind.removesuffix("s")) for kind, number in totals.items() if number]
    missing = f", {len(watched.troubles)} could not be asked" if watched.troubles else ""
    if not words:
        return f"Nothing new in {count(len(rules.repos), 'repository', 'repositories')}{missing}."
    where = f"{len(with_news)} of {count(len(rules.repos), 'repository', 'repositories')}"
    new = [repo for repo in with_news if repo in watched.first]
    first = f" The first look at {_names(new)} begins on {rules.since:%Y-%m-%d}." if new else ""
    return f"**{', '.join(words)}** in {where}{missing}.{first}"


def _names(repos: Sequence[str]) -> str:
    return ", ".join(repos) if len(repos) <= _NAMED else f"{len(repos)} repositories"


def _lines(kind: str, items: Sequence[News], limit: int, now: datetime) -> list[str]:
    newest = sorted(items, key=lambda item: item.at, reverse=True)
    return bullets([_line(kind, item, now) for item in newest], limit)


def _line(kind: str, item: News, now: datetime) -> str:
    day = ago(item.at.astimezone(now.tzinfo).date(), now.date())
    title = one_line(item.title, 100)
    if kind == "releases":
        return " · ".join(part for part in (f"🏷 {_link(item.label, item.url)}", title, day) if part)
    by = f" · {one_line(item.by, 40)}" if item.by else ""
    what = f"{_link(item.label, item.url)} {title}" if item.label else _link(item.title, item.url)
    return f"{'🐞 ' if kind == 'issues' else ''}{what}{by} · {day}"


def _link(text: str, url: str) -> str:
    words = _AT_START.sub(r"\1\2", one_line(text, 100)) or "link"
    return f"[{words}]({url})" if _URL.match(url) else words
