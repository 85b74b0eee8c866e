"""The pages under docs/ and the README say what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lapse.policyfile import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_YAML = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def examples() -> list[object]:
    """Every policy in the pages."""
    found: list[object] = []
    for page in PAGES:
        for number, text in enumerate(_YAML.findall(page.read_text(encoding="utf-8")), start=1):
            found.append(pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}"))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as Git hosts make them."""
    headings = _HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", examples())
def test_every_policy_in_the_pages_can_be_followed(text: str, tmp_path: Path) -> None:
    """What readers copy loads without a complaint."""
    file = tmp_path / "lapse.yaml"
    file.write_text(text, encoding="utf-8")

    assert load(file).datasets


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_leads_somewhere(page: Path) -> None:
    """Files that are linked exist, and so do the headings."""
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{target.name} has no heading for {link}"


def test_every_page_can_be_reached_from_the_index() -> None:
    """No page is an orphan; decisions are reached through their folder's first."""
    seen, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.is_file():
            continue
        seen.add(page)
        links = [link.partition("#")[0] for link in _LINK.findall(page.read_text(encoding="utf-8"))]
        waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md")]

    assert {page for page in PAGES if "decisions" not in page.parts} <= seen
