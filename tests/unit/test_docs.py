"""The pages for readers: their links lead somewhere, and each can be reached from the README."""

import re

import pytest

from tests.conftest import REPOSITORY

PAGES = sorted(REPOSITORY.glob("*.md")) + sorted(REPOSITORY.glob("docs/**/*.md"))


def links(page):
    """Yield the file and the heading of each link of a page to the repository."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            name, _, heading = target.partition("#")
            yield (page.parent / name).resolve() if name else page, heading


def headings(page):
    """Return the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_to_files_and_headings(page):
    missing = [str(file) for file, _ in links(page) if not file.exists()]
    missing += [heading for file, heading in links(page) if heading and heading not in headings(file)]
    assert missing == []


def test_every_page_can_be_reached_from_the_readme():
    reached, new = set(), {REPOSITORY / "README.md"}
    while new:
        reached |= new
        new = {file for page in new for file, _ in links(page) if file.suffix == ".md"} - reached
    notes = {page for page in PAGES if page.parent.parent.name == "results"}
    assert set(PAGES) - notes - reached == set()
