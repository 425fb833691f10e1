"""What searches cost, spent and planned, by hand; and the compound projections of the paper."""

import itertools
import json
import subprocess
import sys

import pytest

from awnlib.channels import Channels
from awnlib.model_cost import cost
from awnlib.models import create_model
from awnlib.studies.transfer.compound import COMPOUND, compound_table
from awnlib.width_transfer.costs import LayerCost, layer_costs, total_macs
from awnlib.width_transfer.ledger import (
    ALL_GRADIENTS,
    Ledger,
    even_counts,
    expected_macs,
    overhead_factor,
    planned_autoslim,
    planned_dmcp,
    planned_morphnet,
    planned_sandwich,
)

COLOURS, A, B = Channels(3, fixed=True), Channels(4, name="a"), Channels(6, name="b")
LAYERS = [
    LayerCost("first", COLOURS, A, 100, False),
    LayerCost("depthwise", A, A, 9, True),
    LayerCost("square", A, A, 5, False),
    LayerCost("pointwise", A, B, 10, False),
]
COUNTS = {"": [3], "a": [1, 2, 4], "b": [3, 6]}
FORWARD_BACKWARD = 3


def candidates(channels):
    return COUNTS[channels.name]


def macs(a, b):
    return 100 * 3 * a + 9 * a + 5 * a * a + 10 * a * b


def test_a_backward_pass_costs_two_forward_passes():
    ledger = Ledger()
    ledger.spend("step", 10, 3, backward=ALL_GRADIENTS)
    ledger.spend("step", 100, 1, backward=ALL_GRADIENTS)
    ledger.spend("evaluation", 7, 2)
    assert ledger.entries == {"step, forward": 130, "step, backward": 260, "evaluation, forward": 14}
    assert ledger.total == 404


def test_sums_and_factors(tmp_path):
    one, other = Ledger({"a": 10, "b": 5}), Ledger({"b": 1, "c": 4})
    assert (one + other).entries == {"a": 10, "b": 6, "c": 4}
    assert (one.entries, other.entries) == ({"a": 10, "b": 5}, {"b": 1, "c": 4})
    assert overhead_factor(one, other) == 3
    one.save(tmp_path / "ledger.json")
    assert json.loads((tmp_path / "ledger.json").read_text()) == {"entries": {"a": 10, "b": 5}, "total": 15}


def test_wrong_use():
    for numbers in ((-1, 5), (5, -1)):
        with pytest.raises(ValueError, match="step: MACs and images must be 0 or more"):
            Ledger().spend("step", *numbers)
    with pytest.raises(ValueError, match="costs nothing"):
        overhead_factor(Ledger({"a": 1}), Ledger())
    for arguments in ((0.0, 3), (1.1, 3), (0.5, 0)):
        with pytest.raises(ValueError, match=r"low must be in \(0, 1\] and num_counts 1 or more"):
            even_counts(*arguments)


def test_expected_macs_are_the_mean_of_all_networks():
    every = [macs(a, b) for a, b in itertools.product(COUNTS["a"], COUNTS["b"])]
    assert expected_macs(LAYERS, candidates) == pytest.approx(sum(every) / len(every), rel=1e-12)


def test_expected_macs_of_a_network():
    """Against a full enumeration of 3 x 3 x 3 networks."""
    model = create_model("lenet_3c1l", layer="sliced", min_width_mult=0.1)
    multipliers = [0.2, 0.6, 1.0]
    every = []
    for widths in itertools.product(multipliers, repeat=3):
        model.set_widths(dict(zip(model.channels, widths, strict=True)))
        every.append(cost(model).macs)
    assert expected_macs(layer_costs(model), even_counts(0.2, 3)) == pytest.approx(sum(every) / 27, rel=1e-12)


def test_even_counts():
    counts = even_counts(0.1, 4)
    assert counts(Channels(10)) == [1, 4, 7, 10]
    assert counts(Channels(2)) == [1, 2]
    assert counts(Channels(7, fixed=True)) == [7]
    assert even_counts(0.1, 1)(Channels(10)) == [10]


def test_planned_sandwich_by_hand():
    mean = expected_macs(LAYERS, candidates)
    ledger = planned_sandwich(LAYERS, candidates, 50)
    assert ledger.total == pytest.approx(FORWARD_BACKWARD * 50 * (macs(4, 6) + macs(1, 3) + 2 * mean))
    one = planned_sandwich(LAYERS, candidates, 50, num_random=1)
    assert one.total == pytest.approx(FORWARD_BACKWARD * 50 * (macs(4, 6) + macs(1, 3) + mean))


def test_planned_dmcp_has_architecture_steps_in_the_second_half():
    added = planned_dmcp(LAYERS, candidates, 50).total - planned_sandwich(LAYERS, candidates, 50).total
    assert added == pytest.approx(2 * 25 * macs(4, 6))  # no gradients of weights


def test_planned_morphnet_trains_the_network_as_it_is():
    assert planned_morphnet(LAYERS, 50).total == FORWARD_BACKWARD * 50 * macs(4, 6)


def test_planned_autoslim_evaluates_every_neighbour():
    """To the smallest network every path has the same steps: a from 4 to 2 to 1 and b from 6 to 3, in some order."""
    evaluations = set()
    for order in set(itertools.permutations("aab")):
        place, macs_of_path = {"a": 2, "b": 1}, macs(4, 6)
        for name in order:
            for other in [other for other in "ab" if place[other] > 0]:
                counts = {key: COUNTS[key][index - (key == other)] for key, index in place.items()}
                macs_of_path += macs(**counts)
            place[name] -= 1
        evaluations.add(macs_of_path)
    sandwich = planned_sandwich(LAYERS, candidates, 50)
    found = set()
    for seed in range(30):
        ledger = planned_autoslim(LAYERS, candidates, 50, target_macs=macs(1, 3), evaluation_images=7, seed=seed)
        assert {name: ledger.entries[name] for name in sandwich.entries} == sandwich.entries
        found.add(ledger.entries["evaluation, forward"] // 7)
    assert found == evaluations
    done = planned_autoslim(LAYERS, candidates, 50, target_macs=macs(4, 6), evaluation_images=7)
    assert done.entries["evaluation, forward"] == 7 * macs(4, 6)


def test_targets_out_of_reach_are_refused():
    with pytest.raises(ValueError, match=f"target_macs must be {macs(1, 3)} or more.*found 10"):
        planned_autoslim(LAYERS, candidates, 50, target_macs=10, evaluation_images=7)


@pytest.mark.parametrize(("name", "plain"), [("mobilenet_v2", 300_774_272), ("resnet18", 1_814_073_344)])
def test_compound_projections(name, plain):
    table = compound_table(name).set_index("projection")
    assert list(table.index) == [
        *("(0.312, 1, 64, 5 %)", "(0.707, 1, 160, 10 %)", "(1, 1, 224, 50 %)", "(1.414, 2, 320, 100 %)")
    ]
    assert table.loc["(1, 1, 224, 50 %)", "macs"] == plain
    assert table["num_images"].tolist() == [40 * 64_058, 40 * 128_117, 40 * 640_584, 40 * 1_281_167]
    assert table.loc["(0.707, 1, 160, 10 %)", "multipliers_factor"] == pytest.approx(320, rel=1e-9)
    largest = table.iloc[-1]
    for optimizer in ("dmcp", "autoslim", "morphnet"):
        assert table[optimizer].is_monotonic_increasing
        assert largest[f"{optimizer}_factor"] == 1
        factors = largest[optimizer] / table[optimizer]
        assert factors.tolist() == pytest.approx(table[f"{optimizer}_factor"].tolist())
        # the product of ratios is right up to what does not follow the width: colours, classes, single-block stages
        assert (factors / table["multipliers_factor"]).between(0.5, 1.1).all()
    assert (table["morphnet"] == 3 * table["macs"] * table["num_images"]).all()


def test_the_factors_of_the_documentation(repository):
    tables = [compound_table(name).set_index("projection") for name in ("mobilenet_v2", "resnet18")]
    lines = (repository / "docs/width_transfer.md").read_text().splitlines()
    for projection in tables[0].index[:-1]:
        (line,) = [line for line in lines if line.startswith(f"| {projection} |")]
        _, _, *cells, product, _ = line.split("|")
        for table, cell in zip(tables, cells, strict=True):
            shown = [float(number.replace(",", "")) for number in cell.split(", ")]
            factors = table.loc[projection, ["dmcp_factor", "autoslim_factor", "morphnet_factor"]].astype(float)
            assert shown == pytest.approx(factors.tolist(), abs=0.051 if shown[0] < 100 else 0.51)
        assert float(product.replace(",", "")) == pytest.approx(table.loc[projection, "multipliers_factor"], abs=0.05)


def test_the_resnet_of_a_projection_is_the_original_but_for_its_multipliers():
    options = {"layer": "sliced", "stem": "large", "num_classes": 1000}
    model = create_model("resnet18", input_shape=(3, 64, 64), base_width_mult=0.312, **options)
    macs_of_model = total_macs(layer_costs(model), lambda channels: channels.full)
    assert compound_table("resnet18")["macs"].iloc[0] == macs_of_model
    assert COMPOUND[0].width_mult == 0.312


@pytest.mark.slow
def test_the_table_is_printed():
    command = [sys.executable, "-m", "awnlib.studies.transfer.compound"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "### MobileNetV2" in result.stdout
    assert "(1.414 / 0.707)² x 2 / 1 x (320 / 160)² x 100 % / 10 % = 320.0" in result.stdout
    assert result.stderr == ""
