"""The paper's numbers: complete, named as the package names things, and equal to what the paper prints."""

import csv
from collections import Counter

import pytest

from awnlib.results.paper_values import PAPERS, PaperValues, paper_values
from awnlib.training.methods import load_methods

PAPER = paper_values("any_width_networks")
TABLE1 = {"dataset": "mnist", "model": "lenet_3c1l", "variant": "as_trained"}
# Table 2 of the paper, a row per model and data set: AWN, S-Net, AWN+RS, US-Net at 4, 10 and 20 widths.
TABLE2 = {
    ("lenet_3c1l", "fashion_mnist"): [90.67, 83.78, 91.06, 90.40, 90.70, 90.74],
    ("lenet_3c1l", "cifar10"): [71.12, 56.99, 73.75, 67.84, 71.30, 72.45],
    ("lenet_3c1l", "cifar100"): [42.69, 26.94, 43.65, 40.12, 41.38, 41.80],
    ("mobilenet_v2", "cifar10"): [90.91, 50.97, 90.72, 90.10, 91.98, 92.09],
    ("mobilenet_v2", "cifar100"): [70.16, 49.84, 67.28, 66.69, 71.62, 72.24],
}
COLUMNS = [
    *[(name, "as_trained") for name in ("awn", "s_net", "awn_rs")],
    *[("us_net", f"recal{points}") for points in (4, 10, 20)],
]


@pytest.fixture(scope="module")
def rows():
    with (PAPERS / "any_width_networks" / "values.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_number_is_there_once(rows):
    assert Counter(row["exhibit"] for row in rows) == {"table1": 24, "table2": 30, "figure6": 2, "model_size": 2}
    keys = Counter(tuple(value for name, value in row.items() if name not in ("value", "source")) for row in rows)
    assert set(keys.values()) == {1}
    assert all(row["source"] for row in rows)


def test_methods_and_variants_exist(rows):
    methods = load_methods()
    for row in rows:
        points = methods[row["method"]].recalibration
        assert row["variant"] in ([f"recal{n}" for n in points] or ["as_trained"])


def test_data_sets():
    assert PAPER.datasets() == ["cifar10", "cifar100", "fashion_mnist", "mnist"]


@pytest.mark.parametrize(("model", "dataset"), TABLE2)
def test_table2(model, dataset):
    cell = {"model": model, "dataset": dataset, "test_set": "test", "metric": "top1_pct"}
    found = [PAPER.value("table2", method=method, variant=variant, **cell) for method, variant in COLUMNS]
    assert found == TABLE2[model, dataset]


@pytest.mark.parametrize(
    ("method", "images", "expected"),
    [
        ("shared_bn", "train", [99.29, 99.21, 99.02, 98.59]),
        ("shared_bn", "test", [98.49, 98.78, 96.59, 98.49]),
        ("s_net", "train", [99.30, 99.24, 99.03, 98.57]),
        ("s_net", "test", [99.05, 98.93, 98.91, 98.69]),
        ("awn_plain_width", "train", [99.23, 99.19, 99.04, 98.50]),
        ("awn_plain_width", "test", [98.97, 98.87, 98.82, 98.43]),
    ],
)
def test_table1(method, images, expected):
    widths = PAPER.widths("table1", dataset="mnist", model="lenet_3c1l")
    assert widths == [1.0, 0.75, 0.5, 0.25]
    cell = {"method": method, "test_set": images, "metric": "top1_pct", **TABLE1}
    found = [PAPER.value("table1", width_mult=width, **cell) for width in widths]
    assert found == expected


def test_figure6_and_model_size():
    figure6 = {"dataset": "cifar10", "model": "lenet_3c1l", "variant": "as_trained", "metric": "top1_pct"}
    figure6["test_set"] = "test"
    assert PAPER.value("figure6", method="full_width_dense", **figure6) == 20.51
    assert PAPER.value("figure6", method="full_width_triangular", **figure6) == 35.85
    size = {"model": "mobilenet_v2", "method": "us_net", "metric": "extra_size_pct"}
    assert [PAPER.value("model_size", variant=f"recal{n}", **size) for n in (10, 20)] == [9, 18]


def test_widths_are_compared_as_numbers_and_unknown_cells_have_no_value():
    cell = {"method": "awn_plain_width", "test_set": "test", "metric": "top1_pct", **TABLE1}
    assert PAPER.value("table1", width_mult=0.1 + 0.4, **cell) == 98.82
    assert PAPER.value("table1", width_mult=1, **cell) == 98.97
    assert PAPER.value("table1", width_mult=0.35, **cell) is None
    assert PAPER.value("table1", **cell) is None
    assert PAPER.value("table1", width_mult=1, **{**cell, "method": "awn"}) is None  # of 45 channels, not 32
    assert PAPER.widths("table1", dataset="cifar10", model="lenet_3c1l") == []


@pytest.mark.parametrize(
    ("reported", "variant", "expected"),
    [
        ({"recal10": 1.0, "": 2.0}, "recal10", 1.0),
        ({"recal10": 1.0, "": 2.0}, "recal4", 2.0),
        ({"": 2.0}, "as_trained", 2.0),
        ({"recal10": 1.0}, "recal10-moving", None),  # otherwise than the study: another network
        ({"recal4-moving-512": 1.0, "moving-512": 2.0, "": 3.0}, "recal4-moving-512", 1.0),
        ({"moving-512": 2.0, "moving": 3.0, "": 4.0}, "recal10-moving-512", 2.0),
        ({"moving": 3.0, "512": 5.0}, "recal10-moving-512", None),
        ({"moving": 3.0, "512": 5.0, "": 0.0}, "recal10-moving-512", None),  # "" is of the paper's own statistics
        ({"moving": 3.0, "512": 5.0}, "recal10-512", 5.0),
        ({"moving": 3.0}, "recal10", None),
    ],
)
def test_what_a_paper_does_not_say_of_a_variant_is_no_matter(reported, variant, expected):
    cell = {"dataset": "cifar10", "test_set": "test", "model": "lenet_3c1l", "method": "us_net"}
    rows = {("table1", *cell.values(), name, "1.0", "top1_pct"): value for name, value in reported.items()}
    assert PaperValues(rows).value("table1", variant=variant, width_mult=1.0, metric="top1_pct", **cell) == expected


def test_a_number_of_no_variant_is_not_asked_for():
    with pytest.raises(ValueError, match="no variant is called 'recal'"):
        PAPER.value("table2", model="lenet_3c1l", method="us_net", variant="recal", metric="top1_pct")


def test_a_paper_without_numbers_has_none():
    assert paper_values("no_such_paper").datasets() == []
    assert PAPER.of_exhibit("figure6") == {
        "cifar10/test/lenet_3c1l/full_width_dense/as_trained//top1_pct": 20.51,
        "cifar10/test/lenet_3c1l/full_width_triangular/as_trained//top1_pct": 35.85,
    }
