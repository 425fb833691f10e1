"""Dense width sweeps against a loop over single images and widths."""

import pytest
import torch

from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.model_cost import cost
from tests.reference import float64, small_lenet, sweep_slowly, wide

SWITCHABLE = {"layer": "sliced", "norm": "switchable", "affine": "shared"}
IMAGES = torch.randn(23, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.randint(3, (23,), generator=torch.Generator().manual_seed(1))
BATCHES = [(IMAGES[:10], LABELS[:10]), (IMAGES[10:20], LABELS[10:20]), (IMAGES[20:], LABELS[20:])]


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with float64():
        yield


def wide_sweep(*args, **options):
    """Return the rows of a sweep, all metrics of a width in one."""
    return wide(sweep_widths(*args, **options))


OPTIONS = [
    {},
    {"dense_base": True},
    {"layer": "sliced"},
    {"layer": "sliced", "norm": "switchable"},
    {"norm": "switchable", "switches": [0.4, 1.0]},
    SWITCHABLE,
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("width_mults", [None, [0.5], [0.3, 1.0, 0.45, 0.3]])
def test_rows_equal_a_loop_over_images_and_widths(options, width_mults):
    model = small_lenet(**options)
    rows = wide_sweep(model, iter(BATCHES), width_mults)
    widths = [row["width_mult"] for row in rows]
    if width_mults is not None:
        assert widths == width_mults
    for row, (loss, accuracy) in zip(rows, sweep_slowly(model, IMAGES, LABELS, widths), strict=True):
        assert row["loss_nats"] == pytest.approx(loss, rel=1e-9)
        assert row["top1_pct"] == pytest.approx(accuracy, rel=1e-12)
        assert row["num_images"] == 23
        model.set_width_mult(row["width_mult"])
        width_cost = cost(model)
        assert (row["macs"], row["macs_dense"], row["params"]) == (
            width_cost.macs,
            width_cost.macs_dense,
            width_cost.params,
        )
    if width_mults is None:
        # the images tell the widths apart: all of a sliced network, those of other features of a triangular one
        different = len(rows) if options.get("layer") == "sliced" else 5
        assert len({row["loss_nats"] for row in rows}) >= different
        assert len({row["top1_pct"] for row in rows}) > 1


def test_the_default_grid_has_the_trained_and_the_calibrated_widths():
    model = small_lenet(**SWITCHABLE)
    recalibrate_bn(model, [IMAGES], [0.4, 0.62, 1.0])
    rows = wide_sweep(model, BATCHES, trained=[1.0, 0.77])
    by_width = {row["width_mult"]: row for row in rows}
    assert len(rows) == len(model.distinct_width_mults())
    assert {0.25, 0.4, 0.62, 0.77, 1.0} <= by_width.keys()
    assert {width for width, row in by_width.items() if row["is_trained"]} == {0.77, 1.0}
    for width, row in by_width.items():
        assert row["switch_width_mult"] == min(switch for switch in (0.4, 0.62, 1.0) if switch >= width)


def test_shared_statistics_have_no_switch():
    rows = sweep_widths(small_lenet(), BATCHES)
    assert {row["switch_width_mult"] for row in rows} == {None}
    assert not any(row["is_trained"] for row in rows)
    assert set(rows[0]) == {
        *("width_mult", "switch_width_mult", "is_trained", "test_set", "metric", "score", "num_images"),
        *("macs", "macs_dense", "params"),
    }
    assert [row["metric"] for row in rows[:4]] == ["top1_pct", "loss_nats"] * 2
    assert {row["test_set"] for row in rows} == {"test"}


def test_batches_of_other_sizes_give_the_same():
    model = small_lenet(layer="sliced")
    whole = wide_sweep(model, [(IMAGES, LABELS)])
    for row, other in zip(whole, wide_sweep(model, BATCHES), strict=True):
        assert row == pytest.approx(other)


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}])
def test_the_weights_and_statistics_stay_and_evaluation_mode_is_set(options):
    model = small_lenet(**options)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wide_sweep(model, BATCHES)
    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}])
def test_the_model_ends_at_the_last_width(options):
    model = small_lenet(**options)
    wide_sweep(model, BATCHES, [1.0, 0.5, 0.75])
    assert model.channels["conv1"].width_mult == 0.75


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}])
def test_no_images_and_no_widths_are_refused(options):
    model = small_lenet(**options)
    for empty in ([], [(IMAGES[:0], LABELS[:0])]):
        with pytest.raises(ValueError, match="at least one test image"):
            wide_sweep(model, empty)
    with pytest.raises(ValueError, match="width"):
        wide_sweep(model, BATCHES, [])


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}])
def test_widths_outside_the_range_are_refused_before_any_work(options):
    calls = []
    model = small_lenet(**options)
    model.conv1.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(ValueError, match=r"width_mult must be in \[0\.25, 1\], found 0\.1"):
        wide_sweep(model, BATCHES, [0.1, 1.0])
    assert not calls


@pytest.mark.parametrize("options", [{}, SWITCHABLE])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"between_switches": "nearest"}, r"unknown between 'nearest' \(allowed: next_larger, interpolated\)"),
        ({"trained": [1.0, 0.1]}, r"width_mult must be in \[0\.25, 1\], found 0\.1"),
        ({"most_widths": 1}, "most_widths must be 2 or more, found 1"),
        ({"most_widths": 0}, "most_widths must be 2 or more, found 0"),
    ],
)
def test_wrong_options_are_refused_whatever_the_network(options, wrong, message):
    model = small_lenet(**options)
    with pytest.raises(ValueError, match=message):
        wide_sweep(model, BATCHES, **wrong)
    assert model.training


@pytest.mark.parametrize("most", [1, 90, 10**6], ids=["one width", "three widths", "all widths"])
def test_widths_are_held_some_at_a_time(monkeypatch, most):
    model = small_lenet()
    whole = wide_sweep(model, BATCHES, [0.3, 1.0, 0.45, 0.3, 0.7])
    monkeypatch.setattr("awnlib.one_pass.MOST_OUTPUTS", most)
    held = []
    stack = torch.stack
    monkeypatch.setattr("awnlib.one_pass.torch.stack", lambda tensors: held.append(len(tensors)) or stack(tensors))
    parts = wide_sweep(model, BATCHES[:2], [0.3, 1.0, 0.45, 0.3, 0.7])
    assert set(held) == {1: {1}, 90: {3, 1}, 10**6: {4}}[most]
    monkeypatch.undo()
    assert parts == wide_sweep(model, BATCHES[:2], [0.3, 1.0, 0.45, 0.3, 0.7])
    assert parts != whole


@pytest.mark.parametrize("options", [{}, {"layer": "sliced"}])
def test_no_index_waits_for_the_device(monkeypatch, options):
    """A list as an index becomes a tensor, and its copy to a device a wait."""
    indexed = torch.Tensor.__getitem__

    def watched(self, index):
        assert not isinstance(index, list)
        return indexed(self, index)

    monkeypatch.setattr(torch.Tensor, "__getitem__", watched)
    assert len(wide_sweep(small_lenet(**options), BATCHES, [0.5, 1.0, 0.75])) == 3


def test_widths_that_need_a_pass_each_can_be_thinned_out():
    model = small_lenet(**SWITCHABLE)
    recalibrate_bn(model, [IMAGES], [0.4, 0.62, 1.0])
    every = wide_sweep(model, BATCHES, trained=[1.0, 0.77])
    some = wide_sweep(model, BATCHES, trained=[1.0, 0.77], most_widths=3)
    widths = [row["width_mult"] for row in some]
    middle = every[(len(every) - 1) // 2]["width_mult"]
    assert widths == sorted({0.25, middle, 1.0, 0.4, 0.62, 0.77})
    assert some == [row for row in every if row["width_mult"] in widths]
    assert len(wide_sweep(small_lenet(), BATCHES, most_widths=3)) == len(small_lenet().distinct_width_mults())


def test_statistics_between_switches_are_interpolated_on_request():
    model = small_lenet(**SWITCHABLE)
    ends = [model.spec.min_width_mult, 1.0]
    recalibrate_bn(model, [IMAGES], ends)
    by_next_larger = wide_sweep(model, BATCHES)
    interpolated = wide_sweep(model, BATCHES, between_switches="interpolated")
    for plain, smooth in zip(by_next_larger, interpolated, strict=True):
        if smooth["width_mult"] in ends:
            assert plain == smooth
        else:
            assert smooth["switch_width_mult"] is None
            assert plain["switch_width_mult"] == 1.0
            assert plain["loss_nats"] != smooth["loss_nats"]
    assert wide_sweep(model, BATCHES) == by_next_larger
