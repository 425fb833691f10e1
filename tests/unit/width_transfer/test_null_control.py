"""A search that sees no image, beside the search that it is the control of: in tables, figures and findings."""

import pandas as pd
import pytest

from awnlib.papers.width_transfer import claims, null_control, vectors
from awnlib.report.transfer import findings
from awnlib.results.columns import TABLES
from awnlib.results.schemas import read_table
from awnlib.studies.shell import do_job
from awnlib.studies.transfer.collect import collect
from awnlib.studies.transfer.config import parse_transfer_study
from awnlib.studies.transfer.layout import similarity_bounds, similarity_rows
from awnlib.studies.transfer.stages import jobs
from tests.unit.width_transfer.test_figures import draw, lines_of
from tests.unit.width_transfer.transfer_tables import DEFAULTS, similarity_row, transfer_rows

DIRECT, HALF = "w1-d1-s1", "w0.5-d1-s1"
LABELS = ("DMCP", "DMCP without images")


def study(**optimizers):
    rows = {"dmcp": {}, "blind": {"optimizer": "dmcp", "label": LABELS[1], "settings": {"task_weight": 0}}}
    axis = {"kind": "data", "model": "lenet_3c1l", "dataset": "shapes", "sources": [{"data_share": 0.5}]}
    return parse_transfer_study(
        {
            "study": "null",
            "seeds": [0, 1],
            "device": "cpu",
            "datasets": {"shapes": {"source": "mnist5k"}},
            "transfer": {
                "search": {"num_epochs": 1, "batch_size": 20},
                "optimizers": rows | optimizers,
                "train": {"num_epochs": 1, "batch_size": 20},
                "macs_tolerance": 0.05,
                "axes": {"data": axis},
            },
        }
    )


def test_a_null_control_is_the_same_search_without_the_task():
    other = {"optimizer": "dmcp", "settings": {"lr": 0.001}}
    found = study(slow=other, morphnet={})
    assert {row: found.null_control(row) for row in found.transfer.optimizers} == {
        "dmcp": "blind",
        "blind": None,
        "slow": None,
        "morphnet": None,
    }
    assert [row for row in found.transfer.optimizers if found.is_null_control(row)] == ["blind"]


@pytest.fixture(scope="module")
def tables(shapes, tmp_path_factory):
    results = tmp_path_factory.mktemp("null")
    shapes.save(results / "data.safetensors")
    for there in jobs(study()).values():
        for job in there.values():
            do_job(job, results, data=results / "data.safetensors")
    collect(study(), results, results / "tables")
    return {name: read_table(results / f"tables/{name}.parquet") for name in ("transfer", "similarity", "widths")}


def test_it_costs_nothing_and_saves_no_part_of_anything(tables):
    rows = tables["transfer"].query("optimizer == 'blind'")
    assert (rows["search_macs"] == 0).all()
    assert rows[["overhead_saved_pct", "overhead_factor"]].isna().all(axis=None)
    assert rows["found_macs_pct"].notna().all()
    assert "DMCP without images: direct " in (sentence := findings(tables["transfer"])[-1])
    assert "nan" not in sentence


def test_pairs_with_it_are_a_second_floor(tables):
    """2 sources and 2 seeds of each: 16 pairs, the search with images first."""
    pairs = tables["similarity"].query("relation == 'null'")
    assert len(pairs) == 16
    assert set(pairs["one_optimizer"]) == {"dmcp"}
    assert set(pairs["other_optimizer"]) == {"blind"}
    bounds = similarity_bounds(tables["similarity"]).set_index("optimizer")
    assert bounds.loc["dmcp", "null"] == pytest.approx(pairs["cosine"].mean())
    assert pd.isna(bounds.loc["blind", "null"])
    assert "with the null control (second floor)" in similarity_rows(tables["similarity"])


def test_tables_without_one_have_no_column_for_it():
    rows = pd.DataFrame([similarity_row(("dmcp", DIRECT, 0), ("uniform", DIRECT, None), 0.8)])
    assert "with the null control (second floor)" not in similarity_rows(rows)


def test_its_widths_see_no_seed_either(tables):
    """The chains begin alike and follow the budget: seeds, which decide images and weights, change nothing."""
    pairs = tables["similarity"].query("one_optimizer == 'blind' and other_optimizer == 'blind'")
    assert (pairs["cosine"] > 1 - 1e-9).all()


def place(between, floor, *, seeds=2):
    """The pairs of one target: DMCP between its sources and with its null control, which is the same everywhere."""
    rows = []
    for seed in range(seeds):
        shift = 0.001 * seed
        rows += [
            similarity_row(("dmcp", DIRECT, seed), ("dmcp", HALF, seed), between + shift),
            similarity_row(("dmcp", DIRECT, seed), ("blind", DIRECT, seed), floor + 0.01) | {"relation": "null"},
            similarity_row(("dmcp", HALF, seed), ("blind", DIRECT, seed), floor - 0.01) | {"relation": "null"},
            similarity_row(("dmcp", HALF, seed), ("blind", DIRECT, 9), 0.1) | {"relation": "null"},
            similarity_row(("blind", DIRECT, seed), ("blind", HALF, seed), 0.99),
            similarity_row(("blind", DIRECT, seed), ("uniform", DIRECT, None), 0.92 + shift),
        ]
    ((_, pairs),) = vectors.similar_places(pd.DataFrame(rows))
    return pairs


@pytest.mark.parametrize(
    ("between", "floor", "seeds", "verdict"),
    [(0.99, 0.95, 2, "holds"), (0.95, 0.98, 2, "does not hold"), (0.981, 0.98, 2, "undecided"),
     (0.99, 0.95, 1, "undecided")],
)  # fmt: skip
def test_similarity_counts_from_the_null_control_on(between, floor, seeds, verdict):
    finding = null_control.more_alike_than_with(place(between, floor, seeds=seeds), "dmcp", LABELS)
    assert (finding.source, finding.verdict) == ("awnlib", verdict)
    assert f", with DMCP without images {floor:.3f}" in finding.numbers
    assert null_control.more_alike_than_with(place(between, floor).query("relation != 'null'"), "dmcp", LABELS) is None


def test_what_no_image_decided_may_pass_the_papers_test():
    finding = null_control.passes_the_papers_test(place(0.9, 0.9), "blind", LABELS[1])
    assert (finding.source, finding.verdict) == ("awnlib", "holds")
    assert finding.numbers.startswith("cosine between sources 0.990 ± 0.000, with uniform 0.92")


def accuracies(seeing, blind):
    rows = [
        {**DEFAULTS, "optimizer": name, "label": label, "source": DIRECT, "is_direct": True, "seed": seed}
        | {"axis": "data", "kind": "data", "model": "lenet_3c1l", "test_top1_pct": value}
        for name, label, values in (("dmcp", LABELS[0], seeing), ("blind", LABELS[1], blind))
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=TABLES["transfer"].names)


@pytest.mark.parametrize(
    ("blind", "verdict"), [((70.0, 70.1), "holds"), ((76.0, 76.1), "does not hold"), ((70.0, 74.0), "undecided")]
)
def test_accuracy_is_compared_with_it_too(blind, verdict):
    ((panel, finding),) = claims.own_findings(study(), {"transfer": accuracies((73.0, 73.1), blind)})
    assert (finding.verdict, panel) == (verdict, "LeNet-3C1L, MNIST-5k, 1x wide, 1x deep")
    assert finding.claim == "DMCP's directly optimised widths beat those of DMCP without images"


def test_the_papers_claims_are_not_about_it(tables):
    found = claims.paper_findings(study(), tables)
    assert found
    assert not [finding for _, finding in found if "without images" in finding.claim]


def test_figures_draw_it_as_a_second_baseline():
    blind = transfer_rows().query("optimizer == 'autoslim'")
    blind = blind.assign(
        optimizer="blind", label=LABELS[1], search_macs=0.0, overhead_saved_pct=None, test_top1_pct=71.5
    )
    figure = draw("figure3", transfer=pd.concat([transfer_rows().query("optimizer != 'autoslim'"), blind]))
    lines = lines_of(figure.axes[0])
    assert lines[LABELS[1]][1] == [71.5, 71.5]
    assert list(lines) == ["uniform", LABELS[1], "DMCP"]
