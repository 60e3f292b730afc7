"""Date formats as moment means them, which Obsidian names its daily notes with. Pure.

The text is cut into tokens by moment's own rule: `[literal]` and `\\` before a token are text, and so is every letter
that is no token. What depends on Obsidian's language beyond names (`L`, `ww`, `gggg`), on the zone or on an era is
refused: a wrong name would be a wrong file. Names of months and days are the English ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

_TOKENS = re.compile(
    r"(?P<literal>\[[^\[]*\])|(?P<escape>\\)?(?P<token>[Hh]mm(?:ss)?|Mo|MM?M?M?|Do|DDDo|DD?D?D?|ddd?d?|do?|w[o|w]?|"
    r"W[o|W]?|Qo?|N{1,5}|YYYYYY|YYYYY|YYYY|YY|y{2,4}|yo?|gg(?:ggg?)?|GG(?:GGG?)?|e|E|a|A|hh?|HH?|kk?|mm?|ss?|S{1,9}|"
    r"x|X|zz?|ZZ?|.)",
    re.DOTALL,
)
_LANGUAGE_FORMATS = re.compile(r"\[[^\[]*\]|\\?(?P<format>LTS|LT|LL?L?L?|l{1,4})")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class UnknownToken(ValueError):
    """A part of a format that we cannot say for certain; `why` and `instead` are for people."""

    def __init__(self, token: str, why: str, instead: str) -> None:
        super().__init__(f"`{token}` {why}")
        self.token = token
        self.why = why
        self.instead = instead


@dataclass(frozen=True, slots=True)
class Piece:
    """A token, or a text that stands for itself; `stray`: a letter that merely is no token."""

    token: str
    text: str = ""
    stray: bool = False


def pieces(pattern: str) -> list[Piece]:
    """The format, cut as moment does. Raises UnknownToken."""
    for found in _LANGUAGE_FORMATS.finditer(pattern):
        if found["format"] and not found[0].startswith("\\"):
            raise _refusal(found["format"])
    return [_piece(found) for found in _TOKENS.finditer(pattern)]


def formatted(pattern: str, local: datetime) -> str:
    """The local moment in this format. Raises UnknownToken."""
    return "".join(_VALUES[piece.token](local) if piece.token else piece.text for piece in pieces(pattern))


def time_tokens(pattern: str) -> Iterator[str]:
    """The tokens that tell a time of the day. Raises UnknownToken."""
    return (piece.token for piece in pieces(pattern) if piece.token in _TIMES)


def _piece(found: re.Match[str]) -> Piece:
    if found["literal"] is not None:
        # moment takes off the brackets; of "[]" it takes none, for nothing stands in them
        return Piece("", found[0][1:-1] if len(found[0]) > 2 else _unescaped(found[0]))
    token = found["token"]
    if found["escape"]:
        return Piece("", _unescaped(found[0]))
    if token in _VALUES:
        return Piece(token)
    if len(token) == 1 and token not in _REFUSED:
        return Piece("", _unescaped(token), stray=token.isalpha())
    raise _refusal(token)


def _unescaped(text: str) -> str:
    return re.sub(r"^\[|\]$", "", text) if re.search(r"\[.", text, re.DOTALL) else text.replace("\\", "")


def _refusal(token: str) -> UnknownToken:
    why, instead = _REFUSED.get(token[:1], ("is no part of a date", "YYYY-MM-DD"))
    return UnknownToken(token, why, instead)


_BY_LANGUAGE = "differs between the languages of Obsidian"
_REFUSED = {
    "L": (_BY_LANGUAGE, "YYYY-MM-DD"),
    "l": (_BY_LANGUAGE, "YYYY-MM-DD"),
    "w": (_BY_LANGUAGE, "WW"),
    "g": (_BY_LANGUAGE, "GGGG"),
    "e": (_BY_LANGUAGE, "E"),
    "N": ("is a name of an era", "YYYY"),
    "y": ("is a year of an era", "YYYY"),
    "x": ("is a number that tells the instant", "YYYY-MM-DD"),
    "X": ("is a number that tells the instant", "YYYY-MM-DD"),
    "z": ("tells a zone", "YYYY-MM-DD"),
    "Z": ("tells a zone", "YYYY-MM-DD"),
    "W": ("is no part of a date", "WW"),
}


def _ordinal(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 // 10 == 1 else ends.get(number % 10, 'th')}"


def _weekday(local: datetime) -> int:
    """0 is Sunday."""
    return local.isoweekday() % 7


def _year_day(local: datetime) -> int:
    return local.timetuple().tm_yday


def _quarter(local: datetime) -> int:
    return (local.month + 2) // 3


def _hour12(local: datetime) -> int:
    return local.hour % 12 or 12


def _fraction(digits: int) -> Callable[[datetime], str]:
    """Tenths, hundredths, milliseconds; JavaScript knows no finer ones, so zeros follow."""
    return lambda local: f"{local.microsecond // 1000:03}000000"[:digits]


_TIMES: dict[str, Callable[[datetime], str]] = {
    "H": lambda t: str(t.hour),
    "HH": lambda t: f"{t.hour:02}",
    "Hmm": lambda t: f"{t.hour}{t.minute:02}",
    "Hmmss": lambda t: f"{t.hour}{t.minute:02}{t.second:02}",
    "h": lambda t: str(_hour12(t)),
    "hh": lambda t: f"{_hour12(t):02}",
    "hmm": lambda t: f"{_hour12(t)}{t.minute:02}",
    "hmmss": lambda t: f"{_hour12(t)}{t.minute:02}{t.second:02}",
    "k": lambda t: str(t.hour or 24),
    "kk": lambda t: f"{t.hour or 24:02}",
    "m": lambda t: str(t.minute),
    "mm": lambda t: f"{t.minute:02}",
    "s": lambda t: str(t.second),
    "ss": lambda t: f"{t.second:02}",
    "A": lambda t: "PM" if t.hour >= 12 else "AM",
    "a": lambda t: "pm" if t.hour >= 12 else "am",
    **{"S" * digits: _fraction(digits) for digits in range(1, 10)},
}
_VALUES: dict[str, Callable[[datetime], str]] = {
    "Y": lambda t: str(t.year),
    "YY": lambda t: f"{t.year % 100:02}",
    "YYYY": lambda t: f"{t.year:04}",
    "YYYYY": lambda t: f"{t.year:05}",
    "YYYYYY": lambda t: f"{t.year:+07}",
    "Q": lambda t: str(_quarter(t)),
    "Qo": lambda t: _ordinal(_quarter(t)),
    "M": lambda t: str(t.month),
    "Mo": lambda t: _ordinal(t.month),
    "MM": lambda t: f"{t.month:02}",
    "MMM": lambda t: _MONTHS[t.month - 1][:3],
    "MMMM": lambda t: _MONTHS[t.month - 1],
    "D": lambda t: str(t.day),
    "Do": lambda t: _ordinal(t.day),
    "DD": lambda t: f"{t.day:02}",
    "DDD": lambda t: str(_year_day(t)),
    "DDDo": lambda t: _ordinal(_year_day(t)),
    "DDDD": lambda t: f"{_year_day(t):03}",
    "d": lambda t: str(_weekday(t)),
    "do": lambda t: _ordinal(_weekday(t)),
    "dd": lambda t: _DAYS[_weekday(t)][:2],
    "ddd": lambda t: _DAYS[_weekday(t)][:3],
    "dddd": lambda t: _DAYS[_weekday(t)],
    "E": lambda t: str(t.isoweekday()),
    "W": lambda t: str(t.isocalendar().week),
    "Wo": lambda t: _ordinal(t.isocalendar().week),
    "WW": lambda t: f"{t.isocalendar().week:02}",
    "GG": lambda t: f"{t.isocalendar().year % 100:02}",
    "GGGG": lambda t: f"{t.isocalendar().year:04}",
    "GGGGG": lambda t: f"{t.isocalendar().year:05}",
    **_TIMES,
}
