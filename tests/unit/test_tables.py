"""Tables 1 and 2: means, spreads, the paper's numbers, holes, and the files for readers."""

import math
import subprocess
import sys

import pandas as pd
import pytest

from awnlib.results.blocks import markdown
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.renderers import at_trained_widths, over_all_widths
from awnlib.results.schemas import read_table, write_table_files
from awnlib.results.seeds import with_paper_numbers
from awnlib.tasks import task_metrics

TOP1 = task_metrics("classification")[0]
LABELS = {"awn": "AWN", "awn_plain_width": "AWN (plain width)", "s_net": "S-Net", "us_net": "US-Net", "i_net": "I-Net"}


TEST = {"test_set": "test", "metric": "top1_pct"}


def exhibit(*methods, name="table2", **panel):
    panel = {"model": "lenet_3c1l", "dataset": "mnist5k", "paper_dataset": "fashion_mnist"} | panel
    return Exhibit(
        f"any_width_networks.{name}", task_metrics("classification")[0], [PanelConfig(**panel)], list(methods)
    )


def make_table1(shown, history, sweep, runs):
    return at_trained_widths.make(
        exhibit(*shown.methods, name="table1", **shown.panels[0].model_dump()),
        {"history": history, "sweep": sweep, "runs": runs},
    )


def make_table2(shown, evaluations):
    return over_all_widths.make(shown, {"evaluations": evaluations})


def frame(table, rows):
    cell = {"dataset": "mnist5k", "model": "lenet_3c1l"}
    rows = [cell | {"label": LABELS[row["method"]]} | row for row in rows]
    return pd.DataFrame(rows, columns=TABLES[table].names)


def evaluation(method, seed, auc_pct, variant="as_trained", **changes):
    state = "failed" if auc_pct is None else "ok"
    return {"method": method, "seed": seed, "score": auc_pct, "variant": variant, "state": state} | TEST | changes


def run(method, seed, state="ok", individual_width=None):
    return {"method": method, "seed": seed, "state": state, "individual_width": individual_width}


def epoch(method, seed, epoch, width_mult, train_top1_pct):
    values = {"epoch": epoch, "width_mult": width_mult, "metric": "top1_pct", "score": train_top1_pct}
    return {"method": method, "seed": seed} | values


def point(method, seed, width_mult, test_top1_pct, *, is_trained=True):
    values = {"width_mult": width_mult, "is_trained": is_trained, "score": test_top1_pct} | TEST
    return {"method": method, "seed": seed, "variant": "as_trained"} | values


EVALUATIONS = frame(
    "evaluations",
    [
        evaluation("awn", 0, 90.0),
        evaluation("awn", 1, 91.0),
        evaluation("awn", 2, None),
        evaluation("us_net", 0, 91.5, "recal10", label="US-Net(10w)"),
        evaluation("us_net", 0, 90.5, "recal4", label="US-Net(4w)"),
        evaluation("s_net", 0, None),
    ],
)


def test_table2_holds_mean_spread_and_distance_from_the_paper():
    table = make_table2(exhibit("awn", "us_net", "s_net"), EVALUATIONS).set_index("label")
    awn = table.loc["AWN"]
    assert awn["score"] == 90.5
    assert awn["std"] == pytest.approx(math.sqrt(0.5))
    assert (awn["num_seeds"], awn["missing"]) == (2, 1)
    assert awn["paper_score"] == 90.67
    assert awn["difference"] == pytest.approx(-0.17)
    assert (awn["dataset"], awn["paper_dataset"]) == ("mnist5k", "fashion_mnist")


def test_table2_has_a_row_per_variant_and_no_spread_for_one_seed():
    table = make_table2(exhibit("us_net"), EVALUATIONS)
    assert table["label"].tolist() == ["US-Net(4w)", "US-Net(10w)"]
    assert table["score"].tolist() == [90.5, 91.5]
    assert table["paper_score"].tolist() == [90.40, 90.70]
    assert table["std"].isna().all()


def test_table2_has_a_column_for_each_recalibration_of_equally_many_widths():
    """In whichever order the sweeps were collected."""
    labels = {"recal4-moving": "US-Net(4w, moving)", "recal4": "US-Net(4w)", "recal4-512": "US-Net(4w, 512 images)"}
    rows = [evaluation("us_net", 0, 90.0 + n, name, label=labels[name]) for n, name in enumerate(labels)]
    shown = exhibit("us_net")
    for collected in (rows, rows[::-1]):
        table = make_table2(shown, frame("evaluations", collected))
        assert table["variant"].tolist() == ["recal4", "recal4-512", "recal4-moving"]
        assert table["score"].tolist() == [91.0, 92.0, 90.0]
        [block] = over_all_widths.layout(shown, table)
        assert block.columns[1:] == [labels[name] for name in table["variant"]]


def test_table2_shows_holes_for_failed_and_for_absent_methods():
    table = make_table2(exhibit("s_net", "i_net"), EVALUATIONS)
    assert table["score"].isna().all()
    assert table["num_seeds"].tolist() == [0, 0]
    assert table["missing"].tolist() == [1, 0]
    assert table["label"].tolist() == ["S-Net", "i_net"]
    assert len(make_table2(exhibit("awn"), EVALUATIONS.iloc[:0])) == 1


def test_table1_takes_the_last_epoch_and_the_fixed_widths():
    history = frame("history", [epoch("awn", 0, n, w, 10 * n + w) for n in (1, 3, 2) for w in (1.0, 0.5)])
    swept = [point("awn", 0, 1.0, 80.0), point("awn", 0, 0.7, 70.0, is_trained=False), point("awn", 0, 0.5, 60.0)]
    table = make_table1(
        exhibit("awn", dataset="mnist5k", paper_dataset="mnist"),
        history,
        frame("sweep", swept),
        frame("runs", [run("awn", 0)]),
    )
    assert table[["test_set", "width_mult", "score"]].to_numpy().tolist() == [
        ["train", 1.0, 31.0],
        ["train", 0.5, 30.5],
        ["test", 1.0, 80.0],
        ["test", 0.5, 60.0],
    ]
    assert table["paper_score"].isna().all()  # the paper's AWN of this table is narrower


def test_table1_counts_failed_runs_and_drops_what_they_recorded():
    runs = frame("runs", [run("awn", 0), run("awn", 1, "diverged"), run("s_net", 0, "failed")])
    history = frame("history", [epoch("awn", 0, 1, 1.0, 99.0), epoch("awn", 1, 1, 1.0, 10.0)])
    table = make_table1(exhibit("awn", "s_net"), history, frame("sweep", [point("awn", 0, 1.0, 98.0)]), runs)
    assert table["score"].tolist()[:2] == [99.0, 98.0]
    assert table["score"].isna().tolist()[2:] == [True, True]
    assert table["missing"].tolist() == [1, 1, 1, 1]


def test_table1_drops_one_individual_width_of_a_seed():
    runs = frame("runs", [run("i_net", 0, individual_width=1.0), run("i_net", 0, "failed", individual_width=0.5)])
    history = frame("history", [epoch("i_net", 0, 1, 1.0, 99.0), epoch("i_net", 0, 1, 0.5, 50.0)])
    table = make_table1(exhibit("i_net"), history, frame("sweep", []), runs)
    train = table[table["test_set"] == "train"]
    assert train["score"].fillna(-1).tolist() == [99.0, -1]
    assert train["missing"].tolist() == [0, 1]


def test_table1_without_any_run_has_the_papers_widths_as_holes():
    empty = (frame(name, []) for name in ("history", "sweep", "runs"))
    table = make_table1(exhibit("awn_plain_width", dataset="mnist", paper_dataset=None), *empty)
    assert len(table) == 8
    assert table["score"].isna().all()
    assert table["paper_score"].notna().all()


def test_files_hold_the_table_for_programs_and_for_readers(tmp_path):
    table = make_table2(exhibit("awn", "us_net", "s_net"), EVALUATIONS)
    text = markdown(over_all_widths.layout(exhibit(), table))
    write_table_files(tmp_path / "tables" / "table2", "exhibit", table, {"study": "demo"}, text)
    assert read_table(tmp_path / "tables/table2.parquet")["score"].tolist()[:3] == [90.5, 90.5, 91.5]
    assert pd.read_csv(tmp_path / "tables/table2.csv")["paper_score"].tolist() == [90.67, 90.40, 90.70, 83.78]
    text = (tmp_path / "tables/table2.md").read_text()
    assert "| model, data set | AWN | US-Net(4w) | US-Net(10w) | S-Net |" in text
    assert "| LeNet-3C1L, MNIST-5k (paper: Fashion-MNIST) | 90.50 ± 0.71† (paper 90.67, -0.17) |" in text
    assert "| 90.50 (paper 90.40, +0.10) | 91.50 (paper 90.70, +0.80) | — (paper 83.78) |" in text
    assert "† without the seeds that failed (at most 1)." in text
    assert "— no result." in text


def test_table1_reads_as_in_the_paper_methods_down_and_widths_across():
    history = frame("history", [epoch(m, 0, 1, w, 99.0) for m in ("awn_plain_width", "s_net") for w in (1.0, 0.5)])
    swept = frame("sweep", [point(m, 0, w, 98.0 + w) for m in ("awn_plain_width", "s_net") for w in (1.0, 0.5)])
    runs = frame("runs", [run("awn_plain_width", 0), run("s_net", 0)])
    table = make_table1(exhibit("s_net", "awn_plain_width", paper_dataset="mnist"), history, swept, runs)
    lines = markdown(at_trained_widths.layout(exhibit(name="table1"), table)).splitlines()
    assert lines[0] == "**Training accuracy, %: LeNet-3C1L, MNIST-5k (paper: MNIST)**"
    assert lines[2] == "| method | w = 1.00 | w = 0.50 |"
    assert lines[4] == "| S-Net | 99.00 (paper 99.30, -0.30) | 99.00 (paper 99.03, -0.03) |"
    assert "| AWN (plain width) | 99.00 (paper 98.97, +0.03) | 98.50 (paper 98.82, -0.32) |" in lines


def test_a_table_that_is_older_than_a_correction_gets_the_papers_numbers_of_today():
    table = make_table2(exhibit("awn", "s_net"), EVALUATIONS)
    old = table.assign(paper_score=[1.0, None], difference=[89.5, None])
    pd.testing.assert_frame_equal(with_paper_numbers(exhibit(), old), table)


def test_the_best_cell_is_found_along_the_methods():
    [block] = over_all_widths.layout(exhibit(), make_table2(exhibit("awn", "us_net", "s_net"), EVALUATIONS))
    assert [cell.is_best for cell in block.rows[0][1]] == [False, False, True, False]


def test_results_can_be_shown_without_torch_and_snakemake():
    modules = ["evaluation.auc", "jobs.provenance", "report.report"]
    modules += [f"results.{name}" for name in ("columns", "blocks", "paper_values", "schemas", "summaries", "titles")]
    modules += [f"results.renderers.{name}" for name in ("at_trained_widths", "bn_statistics", "curves")]
    code = f"import sys, {', '.join(f'awnlib.{name}' for name in modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "awnlib.report.report" in loaded
    assert not {"torch", "torchvision", "snakemake"} & set(loaded)
