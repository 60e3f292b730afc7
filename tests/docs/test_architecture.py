"""docs/architecture.md and docs/rules.md say what the code says. Run this file to write the generated parts anew."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = DOCS / "architecture.md"


def package() -> Path:
    found = find_spec("vault_scheduler")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def modules() -> list[Path]:
    return sorted(path for path in package().rglob("*.py") if path.name != "__init__.py")


def module_list() -> str:
    lines = [f"- `{path.relative_to(package()).as_posix()}`: {sentence(path)}" for path in modules()]
    return "\n".join(lines)


def sentence(path: Path) -> str:
    """The first sentence of the docstring, without the numbers of rules."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    text = " ".join(docstring.split("\n\n")[0].split())
    text = re.sub(r" \((?:\w+\.md )?(?:rules?|sections?) [^)]*\)", "", text)
    return re.split(r"(?<=[A-Za-z0-9)`])\.(?= [A-Z`])", text)[0].rstrip(".") + "."


def layer_list() -> str:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    return "\n".join(["```", *next(contract["layers"] for contract in contracts if "layers" in contract), "```"])


def generated() -> str:
    """The page with its generated parts as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    for name, content in (("modules", module_list()), ("layers", layer_list())):
        pattern = rf"(<!-- {name}: begin[^\n]*-->\n).*?(<!-- {name}: end -->)"
        text, count = re.subn(pattern, lambda m, c=content: f"{m[1]}\n{c}\n\n{m[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
        assert count == 1, name
    return text


def test_every_module_and_layer_is_listed_as_the_code_says() -> None:
    """The lists of modules and layers are exactly what docstrings and pyproject.toml say."""
    assert PAGE.read_text(encoding="utf-8") == generated(), "run: python tests/docs/test_architecture.py"


def test_every_module_says_in_one_sentence_what_it_is() -> None:
    """No module is without a docstring."""
    assert [path.name for path in modules() if len(sentence(path)) < 10] == []


def test_every_table_of_the_ledger_is_listed() -> None:
    """The tables of the schema and of the approvals are those that the page names."""
    text = PAGE.read_text(encoding="utf-8")
    sources = [package() / "ledger" / "schema.py", package() / "ledger" / "trust.py"]
    tables = {name for path in sources for name in re.findall(r"CREATE TABLE (\w+)", path.read_text(encoding="utf-8"))}
    assert len(tables) > 8
    assert sorted(name for name in tables if f"`{name}`" not in text) == []


def rules_named_in_the_code() -> Iterator[tuple[str, str]]:
    for path in modules():
        for named in re.findall(r"\(rules? ([^)]*)\)", path.read_text(encoding="utf-8")):
            yield from ((path.name, number) for number in re.findall(r"\d+(?:\.\d+)?", named))


def test_every_rule_that_the_code_names_is_written_down() -> None:
    """A number behind "rule" in the code is a section or an item of docs/rules.md."""
    text = (DOCS / "rules.md").read_text(encoding="utf-8")
    known = set(re.findall(r"^(?:## |- )(\d+(?:\.\d+)?)", text, re.MULTILINE))
    named = set(rules_named_in_the_code())
    assert len(named) > 20
    assert sorted((module, number) for module, number in named if number not in known) == []


def test_links_between_the_pages_lead_somewhere() -> None:
    """Every relative link of the README and the pages names a file that is there."""
    links = [
        (page, target)
        for page in (*ROOT.glob("*.md"), *DOCS.glob("*.md"))
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 10
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


if __name__ == "__main__":
    PAGE.write_text(generated(), encoding="utf-8")
