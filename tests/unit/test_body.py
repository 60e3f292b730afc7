"""Code blocks and prompts in bodies; the cheap look against the real parser."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_scheduler.executors.command import INTERPRETERS
from vault_scheduler.notes.body import (
    LANGUAGES,
    PYTHON_LANGUAGES,
    CodeBlock,
    first_code_block,
    first_fence,
    first_python_block,
    has_prompt,
    prompt,
)

SH = CodeBlock("sh", "echo hi\n")

CODE = [
    ("```sh\necho hi\n```", SH),
    ("~~~ sh\necho hi\n~~~", SH),
    ('text\n\n```SH title="x"\necho hi\n```\n\n```sh\necho no\n```', SH),  # the first, case and info aside
    ("```{sh}\necho hi\n```", SH),  # as notebooks write it
    ("````sh\necho hi\n````", SH),
    ("- item\n\n  ```sh\n  echo hi\n  ```", SH),  # in a list
    ("> ```sh\n> echo hi\n> ```", SH),  # in a quote or callout
    ("%%\n```sh\nrm -rf /\n```\n%%\n```sh\necho hi\n```", SH),  # commented out in Obsidian
    ("%% a %% b %% c %%\n```sh\necho hi\n```", SH),
    ("<!--\n```sh\nrm -rf /\n```\n-->\n```sh\necho hi\n```", SH),  # commented out in HTML
    ("`%%` is code\n\n```sh\necho hi\n```", SH),
    ("```sh\r\necho hi\r\n```\r\n", SH),
    ("```\necho hi\n```", CodeBlock("", "echo hi\n")),
    ("```python\nprint('%%')\n```", CodeBlock("python", "print('%%')\n")),  # a cell magic is no comment
    ("```sh\necho hi", SH),  # never closed: to the end, as markdown has it (with a final newline or not)
    ("no code", None),
    ("text `` ```sh `` text", None),
    ("%%\n```sh\necho hi\n```", None),  # a comment that is never closed hides the rest
    ("", None),
]


@pytest.mark.parametrize(("body", "block"), CODE)
def test_first_code_block_is_the_one_that_a_reader_sees(body: str, block: CodeBlock | None) -> None:
    """Commented-out blocks do not run; lists, quotes and line ends do not matter."""
    found = first_code_block(body)
    assert (found and (found.language, found.text.rstrip("\n"))) == (
        block and (block.language, block.text.rstrip("\n"))
    )


@pytest.mark.parametrize(("body", "block"), CODE)
def test_cheap_look_agrees(body: str, block: CodeBlock | None) -> None:
    """What is seen at parsing time is what runs later."""
    fence = first_fence(body)
    assert (fence and fence.language) == (block and block.language)


PIECES = """
```sh|```|~~~python|~~~|    ```|> ```|- ```py|  ```|%%|x %% y|<!--|-->|text||# head|`a` %% b|````|\t```|- item
"""
MARKDOWN = st.lists(st.sampled_from(PIECES.strip("\n").split("|")), max_size=14).map("\n".join)


@given(MARKDOWN)
def test_cheap_look_misses_no_code_block(body: str) -> None:
    """A block that would run is never reported as missing."""
    if first_code_block(body) is not None:
        assert first_fence(body) is not None


def test_code_block_knows_its_line() -> None:
    """The line of the opening fence, for messages."""
    found = first_code_block("a\n\n```sh\nx\n```")
    assert found is not None
    assert found.line == 2


def test_python_block_is_the_first_of_its_language() -> None:
    """Blocks of other languages before it are illustration."""
    body = "```sh\nls\n```\n\n```py\nprint(1)\n```"
    assert first_python_block(body) == CodeBlock("py", "print(1)\n", 4)
    fence = first_fence(body, PYTHON_LANGUAGES)
    assert fence is not None
    assert fence.language == "py"
    assert first_python_block("```sh\nls\n```") is None


@pytest.mark.parametrize(("body", "empty"), [("```sh\n```", True), ("```sh\n\n \n```", True), ("```sh\nx\n```", False)])
def test_empty_block_is_seen(body: str, empty: bool) -> None:
    """A block without content would succeed without doing anything."""
    fence = first_fence(body)
    assert fence is not None
    assert fence.empty is empty


def test_languages_are_those_that_the_executor_runs() -> None:
    """A block that is accepted while parsing has an interpreter."""
    assert set(INTERPRETERS) == LANGUAGES


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Do it.\n\nWell.\n", "Do it.\n\nWell."),
        ("About.\n\n## Prompt\n\nDo it.\n\n### Details\n\nWell.\n\n## Notes\n\nx", "Do it.\n\n### Details\n\nWell."),
        ("## Prompt\nDo it.\n# Top\nx", "Do it."),
        ("## Prompt ##\nDo it.", "Do it."),
        ("```\n## Prompt\nno\n```\nDo it.", "```\n## Prompt\nno\n```\nDo it."),  # only looks like a heading
        ("```\n## Prompt\n```\n\n## Prompt\nDo it.", "Do it."),
        ("## Prompt\n```\n## not a heading\n```\nrest\n## End", "```\n## not a heading\n```\nrest"),
        ("## Prompts\nDo it.", "## Prompts\nDo it."),
        ("a\r\n## Prompt\r\nDo it.\r\nWell.\r\n## End", "Do it.\nWell."),
        ("%% note to self %% Do it.", "%% note to self %% Do it."),  # the author's words
    ],
)
def test_prompt_is_its_section_or_the_body(body: str, text: str) -> None:
    """The `## Prompt` section up to the next heading of its level or above; else everything."""
    assert prompt(body) == text
    assert has_prompt(body)


@pytest.mark.parametrize(
    "body", ["", " \n\t\n", "%% later %%", "<!--\ntodo\n-->", "About.\n\n## Prompt\n\n## Notes\n\nx"]
)
def test_missing_prompt_is_seen(body: str) -> None:
    """Nothing, comments only, or an empty section is no prompt."""
    assert not has_prompt(body)


def test_looking_at_bodies_does_not_load_markdown() -> None:
    """Parsing a vault does not pay for the markdown parser."""
    program = (
        "import sys; from vault_scheduler.notes.body import first_fence, has_prompt;"
        "first_fence('```sh\\nx\\n```'); has_prompt('## Prompt\\nx'); sys.exit('markdown_it' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_long_lines_of_comments_are_read() -> None:
    """Many comments on one line are no deep recursion, and take no quadratic time."""
    assert first_fence("%%a%%" * 500_000 + "\n```sh\nx\n```") is not None
