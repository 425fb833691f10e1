"""What every table and figure of every paper promises, asked of each row of `awnlib/papers/*/exhibits.yaml`.

    pytest tests/unit/test_exhibits_conform.py -k my_paper

asks it of those that are new. Nothing here knows a paper or an exhibit by its name.
"""

import csv
import subprocess
import sys
from functools import cache

import pytest

from awnlib.models import model_names
from awnlib.results.blocks import Block, markdown
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import (
    PAPERS,
    exhibit_names,
    exhibit_row,
    is_table,
    load_paper,
    needs_of,
    paper_names,
    paper_settings,
    renderer_of,
    with_companions,
)
from awnlib.results.paper_values import KEYS, paper_values
from awnlib.results.schemas import read_table, write_table, write_table_files
from awnlib.results.style import save_figure
from awnlib.settings import ConfigError, Settings
from awnlib.studies.kinds import KINDS, load_any_study, parse_any_study
from awnlib.training.methods import load_methods
from tests.conftest import STUDY

NAMES = [name for kind in KINDS for name in exhibit_names(kind)]
EXHIBITS = pytest.mark.parametrize("name", NAMES)
FIGURES = pytest.mark.parametrize("name", [name for name in NAMES if not is_table(name)])
DRAWN_TABLES = pytest.mark.parametrize("name", [name for name in NAMES if is_table(name)])
EVERY_PAPER = pytest.mark.parametrize("paper", paper_names())
WITH_SETTING = pytest.mark.parametrize("paper", [name for name in paper_names() if paper_settings(name)])
GROUPS = {"model_size"}  # numbers of a paper that are no exhibit's: awnlib/results/summaries.py shows them


@cache
def settings(paper):
    """Return the paper's own studies; of a paper of widths that has none, the smallest one that shows all of it."""
    own = paper_settings(paper)
    if own:
        return [load_any_study(path) for path in own]
    (shown,) = STUDY["exhibits"].values()
    return [parse_any_study(STUDY | {"exhibits": {f"{paper}.{row}": shown for row in load_paper(paper).exhibits}})]


def exhibit(name):
    """Return an exhibit as the paper's own setting shows it."""
    (study,) = [study for study in settings(name.partition(".")[0]) if name in study.shown]
    return study.exhibit(name)


@pytest.fixture
def empty(tmp_path):
    """Return a function that gives the tables that an exhibit needs, without rows, as they are read from files."""

    def make(name):
        for table in needs_of(name):
            write_table(tmp_path / f"{table}.parquet", table, [], {})
        return {table: read_table(tmp_path / f"{table}.parquet") for table in needs_of(name)}

    return make


def test_every_kind_of_study_has_exhibits():
    assert {load_paper(paper).studies for paper in paper_names()} <= set(KINDS)
    assert len(NAMES) == len(set(NAMES)) == sum(len(load_paper(paper).exhibits) for paper in paper_names()) > 0


@WITH_SETTING
def test_the_papers_own_setting_shows_all_its_exhibits(paper):
    studies = settings(paper)
    assert {study.kind for study in studies} == {load_paper(paper).studies}
    assert sorted(name for study in studies for name in study.shown) == sorted(
        f"{paper}.{row}" for row in load_paper(paper).exhibits
    )


@EXHIBITS
def test_readers_are_told_what_it_shows(name):
    row = exhibit_row(name)
    assert row.title.strip() == row.title != ""
    assert is_table(name) or row.caption.endswith(".")


@EXHIBITS
def test_its_renderer_says_what_it_needs(name):
    renderer = renderer_of(name)
    assert renderer.__doc__
    assert needs_of(name) == list(renderer.NEEDS)
    assert set(needs_of(name)) <= set(TABLES) - {"exhibit"}
    assert hasattr(renderer, "make") == hasattr(renderer, "layout") == is_table(name)
    assert hasattr(renderer, "draw") != is_table(name)


@EXHIBITS
def test_its_options_are_those_of_its_renderer(name):
    options = renderer_of(name).Options
    assert issubclass(options, Settings)
    assert exhibit(name).options(options).model_dump(exclude_unset=True) == exhibit_row(name).options


@EXHIBITS
def test_an_option_that_its_renderer_lacks_is_refused_by_name(name, monkeypatch):
    monkeypatch.setitem(exhibit_row(name).options, "colour_of_the_sea", 1)
    with pytest.raises(ConfigError, match=rf"exhibit {name} cannot be used:\n  - colour_of_the_sea: unknown key"):
        renderer_of(name)


@EXHIBITS
def test_a_renderer_that_is_not_there_is_refused_by_name(name, monkeypatch):
    paper, _, row = name.partition(".")
    monkeypatch.setitem(load_paper(paper).exhibits, row, exhibit_row(name).model_copy(update={"renderer": "nobody"}))
    with pytest.raises(ConfigError, match=rf"exhibits\.{row}\.renderer: neither .* has a nobody\.py"):
        needs_of(name)


@FIGURES
def test_a_figure_of_no_rows_says_so_on_all_axes(name, empty):
    figure = renderer_of(name).draw(exhibit(name), empty(name))
    assert {text.get_text() for axes in figure.axes for text in axes.texts} == {"no results"}
    assert all(axes.texts for axes in figure.axes)
    assert not any(axes.lines for axes in figure.axes)


@FIGURES
def test_drawn_twice_a_figure_is_the_same_file(name, empty, tmp_path):
    for copy in ("one", "other"):
        save_figure(renderer_of(name).draw(exhibit(name), empty(name)), tmp_path / copy)
    for suffix in ("png", "svg"):
        one, other = ((tmp_path / f"{copy}.{suffix}").read_bytes() for copy in ("one", "other"))
        assert len(one) > 1000
        assert one == other


@DRAWN_TABLES
def test_a_table_of_no_rows_has_holes_and_reads_as_markdown(name, empty, tmp_path):
    shown, renderer = exhibit(name), renderer_of(name)
    frame = renderer.make(shown, empty(name))
    assert list(frame.columns) == TABLES["exhibit"].names
    assert frame["score"].isna().all()
    assert frame["difference"].isna().all()
    blocks = renderer.layout(shown, frame)
    assert all(isinstance(block, Block) for block in blocks)
    for copy in ("one", "other"):
        write_table_files(tmp_path / copy, "exhibit", frame, {}, markdown(blocks))
    for suffix in ("parquet", "csv", "md"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"other.{suffix}").read_bytes()
    if len(frame):
        stored = read_table(tmp_path / "one.parquet")
        assert markdown(renderer.layout(shown, stored)) == (tmp_path / "one.md").read_text()
        assert "— no result." in (tmp_path / "one.md").read_text()


@EVERY_PAPER
def test_what_is_made_beside_another_comes_with_it(paper):
    rows = load_paper(paper).exhibits
    for short, row in rows.items():
        if row.beside:
            assert with_companions([f"{paper}.{row.beside}"]).count(f"{paper}.{short}") == 1


@EVERY_PAPER
def test_the_papers_numbers_are_of_its_exhibits_and_each_is_there_once(paper):
    path = PAPERS / paper / "values.csv"
    if not path.is_file():
        assert paper_values(paper).by_key == {}
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["exhibit"] for row in rows} <= set(load_paper(paper).exhibits) | GROUPS
    assert {row["model"] for row in rows} <= set(model_names())
    assert {row["method"] for row in rows} <= set(load_methods())
    assert len(paper_values(paper).by_key) == len({tuple(row[key] for key in KEYS) for row in rows}) == len(rows)
    assert all(row["source"] for row in rows)


@EVERY_PAPER
def test_a_row_beside_or_before_one_that_is_not_there_is_refused(paper):
    found = load_paper(paper).model_dump()
    (first, *_) = found["exhibits"]
    with pytest.raises(ValueError, match=f"main: no exhibit is called 'figure0' \\(allowed: {first}"):
        type(load_paper(paper)).model_validate({**found, "main": "figure0"})
    found["exhibits"][first]["beside"] = "figure0"
    with pytest.raises(ValueError, match=f"exhibits.{first}.beside: no exhibit is called 'figure0'"):
        type(load_paper(paper)).model_validate(found)


def test_exhibits_are_made_without_torch_and_snakemake():
    code = (
        "import sys\n"
        "from awnlib.results.exhibits import exhibit_names, renderer_of\n"
        "from awnlib.studies.kinds import KINDS\n"
        "names = [name for kind in KINDS for name in exhibit_names(kind)]\n"
        "print(*(renderer_of(name).__name__ for name in names), *sys.modules)"
    )
    call = [sys.executable, "-c", code]
    loaded = subprocess.run(call, check=True, capture_output=True, text=True).stdout.split()
    assert {renderer_of(name).__name__ for name in NAMES} <= set(loaded)
    assert not {"torch", "torchvision", "snakemake"} & set(loaded)
