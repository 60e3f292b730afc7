"""Other programs' JSON is changed where it shall say something else, and nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.text.json_text import BadJson, read_json, respelled

ODD = """{
\t"model" : "opus",\t
\t"list": [1,2,
\t\t3],   "umlaut": "\\u00e4 ä",
\t"empty": {}
}
"""


@pytest.mark.parametrize(
    ("text", "wanted", "becomes"),
    [
        ('{"a": 1}\n', {"a": 1}, '{"a": 1}\n'),
        ('{"a": 1}\n', {"a": 1, "b": 2}, '{"a": 1, "b": 2}\n'),
        ('{\n    "a": 1\n}', {"a": 1, "b": {"c": []}}, '{\n    "a": 1,\n    "b": {\n        "c": []\n    }\n}'),
        ("{}", {"a": 1}, '{\n  "a": 1\n}'),
        ('{\r\n  "a": {}\r\n}', {"a": {"b": 1}}, '{\r\n  "a": {\r\n    "b": 1\r\n  }\r\n}'),
        ('{"a": [1, 2]}', {"a": [1, 2, 3]}, '{"a": [1, 2, 3]}'),
        ('{"a": [1, 2, 3]}', {"a": [1, 3]}, '{"a": [1, 3]}'),
        ('{"a": [1, 2, 3]}', {"a": [2, 3]}, '{"a": [2, 3]}'),
        ('{"a": 1, "b": 2}', {"b": 2}, '{"b": 2}'),
        ('{\n  "a": 1,\n  "b": 2\n}', {"a": 1}, '{\n  "a": 1\n}'),
        ('{"a": {"b": 1}}', {"a": {}}, '{"a": {}}'),
        ('{"a": 1}', {"a": [1]}, '{"a": [\n  1\n]}'),
        (ODD, {**json.loads(ODD), "model": "haiku"}, ODD.replace("opus", "haiku")),
        (ODD, {**json.loads(ODD), "empty": {"x": 1}}, ODD.replace("{}", '{\n\t\t"x": 1\n\t}')),
    ],
)
def test_only_what_differs_is_written_anew(text: str, wanted: Any, becomes: str) -> None:
    """Spaces, order, escapes and line ends of what stays are as they were."""
    assert respelled(text, wanted) == becomes


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, VALUES, st.sampled_from([None, 2, "\t"]))
def test_the_text_means_what_is_wanted(old: Any, wanted: Any, indent: int | str | None) -> None:
    """Whatever stood there and whatever is wanted, the new text says it."""
    assert read_json(respelled(json.dumps(old, indent=indent), wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', 3, "delimiter"),
        ('{\n  // a comment\n  "a": 1}', 2, "property name"),
        ("", 1, "expecting value"),
        ('{"a": 1, "a": 2}', 1, "'a' is there twice"),
        ('{"a": NaN}', 1, "nan is not json"),
    ],
)
def test_what_is_no_json_is_refused(text: str, line: int, said: str) -> None:
    """With the line, and in words that say what is wrong."""
    with pytest.raises(BadJson) as refused:
        read_json(text)
    assert refused.value.line == line
    assert said in str(refused.value).lower()
