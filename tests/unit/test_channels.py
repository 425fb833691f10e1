"""Channel counts, the exact widths at which they change, and the staircase of triangular layers."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from awnlib.channels import Channels, check_apart, check_width_mult, evenly_spaced, staircase
from awnlib.layers import SharedBatchNorm2d, SwitchableBatchNorm2d
from tests.reference import all_widths, count_slowly, mask_slowly, small_lenet, staircase_slowly


@st.composite
def dimensions(draw, *, may_be_fixed=False):
    full = draw(st.integers(1, 40))
    return Channels(
        full,
        min_width_mult=draw(st.sampled_from([0.05, 0.25, 0.35, 0.5, 1.0])),
        divisor=draw(st.integers(1, 9)),
        min_channels=draw(st.integers(1, full)),
        fixed=may_be_fixed and draw(st.booleans()),
    )


@pytest.mark.parametrize(
    ("full", "width_mult", "count"),
    [  # MobileNet's make_divisible(full * width_mult, 8), by hand
        (32, 0.35, 16),  # 11.2: nearest 8, below 90 % of it (10.08)
        (24, 0.35, 8),  # 8.4: nearest 8, not below 7.56
        (24, 0.75, 24),  # 18: nearest 16, below 16.2
        (16, 0.75, 16),  # 12 lies in the middle
        (96, 0.35, 32),
        (64, 0.35, 24),
        (160, 0.35, 56),
        (96, 0.1, 16),  # 9.6: nearest 8, below 8.64
        (32, 0.1, 8),  # 3.2: the minimum
        (1280, 1.0, 1280),
        (20, 0.99, 20),  # 19.8: 16 is too few, 24 more than there are
    ],
)
def test_counts_with_divisor_8(full, width_mult, count):
    assert Channels(full, divisor=8, min_channels=8).count(width_mult) == count


@pytest.mark.parametrize(
    ("full", "width_mult", "count"),
    [(10, 0.25, 3), (18, 0.25, 5), (2, 0.25, 1), (45, 0.25, 11), (32, 0.35, 11), (45, 1.0, 45), (1, 0.01, 1)],
)
def test_counts_without_divisor_round_halves_up(full, width_mult, count):
    assert Channels(full).count(width_mult) == count


@given(dimensions())
@settings(deadline=None, max_examples=60)
def test_counts_equal_exact_fractions_and_never_fall(channels):
    widths = [i / 256 for i in range(257)]  # exact as floats, times any full count
    counts = [channels.count(width) for width in widths]
    assert counts == [count_slowly(w, channels.full, channels.divisor, channels.min_channels) for w in widths]
    assert counts == sorted(counts)


@given(dimensions())
@settings(deadline=None, max_examples=60)
def test_steps_are_the_first_float_of_each_count(channels):
    steps = channels.steps
    assert steps[0][0] == 0
    assert steps[-1][1] == channels.full
    for width, count in steps:
        assert channels.count(width) == count
    for (_, before), (width, _) in pairwise(steps):
        below = math.nextafter(width, -1)
        if channels.snap(below) == below:  # not within rounding of an end
            assert channels.count(below) == before
    assert {channels.count(width) for width in all_widths(channels)} == {count for _, count in steps}


@given(dimensions(may_be_fixed=True), dimensions(may_be_fixed=True), st.booleans())
@settings(deadline=None, max_examples=80)
def test_staircase_equals_the_definition(in_channels, out_channels, dense_base):
    limits = staircase(in_channels, out_channels, dense_base=dense_base)
    assert limits == staircase_slowly(in_channels, out_channels, dense_base=dense_base)
    assert limits == sorted(limits)
    assert len(limits) == out_channels.full
    assert 1 <= limits[0] <= limits[-1] <= in_channels.full


def test_square_staircase_is_the_lower_triangle():
    assert torch.equal(mask_slowly(staircase(Channels(7), Channels(7)), 7), torch.ones(7, 7).tril())


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "limits"),
    [
        (Channels(4), Channels(2), [1, 3]),  # the second row appears at width 0.75
        (Channels(2), Channels(4), [1, 1, 1, 2]),  # rows appear at 0, 3/8, 5/8 and 7/8
        (*[Channels(16, divisor=8, min_channels=8)] * 2, [8] * 8 + [16] * 8),
        (Channels(3, fixed=True), Channels(5), [3] * 5),
        (Channels(8, min_width_mult=0.25), Channels(3, fixed=True), [2] * 3),
        (Channels(8, min_width_mult=0.5), Channels(3, fixed=True), [4] * 3),
        (Channels(3, fixed=True), Channels(2, fixed=True), [3] * 2),
        (Channels(4, min_channels=3), Channels(4), [3, 3, 3, 4]),
    ],
)
def test_staircases_by_hand(in_channels, out_channels, limits):
    assert staircase(in_channels, out_channels) == limits


def test_dense_base_fills_the_block_of_the_smallest_width():
    channels = [Channels(8, min_width_mult=0.5) for _ in range(2)]
    assert staircase(*channels, dense_base=True) == [4, 4, 4, 4, 5, 6, 7, 8]
    assert staircase(*channels) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("width_mult", [0.3499, 1.001, 0, -1, math.nan])
def test_widths_outside_the_range_are_refused_with_the_range(width_mult):
    channels = Channels(8, min_width_mult=0.35)
    model = small_lenet(min_width_mult=0.35)
    for refuse in (
        lambda: check_width_mult(width_mult, 0.35),
        lambda: channels.set_width_mult(width_mult),
        lambda: model.set_width_mult(width_mult),
        lambda: model.set_widths({"conv1": 1.0, "conv2": width_mult, "conv3": 1.0}),
        lambda: SwitchableBatchNorm2d(channels, [1.0, width_mult]),
    ):
        with pytest.raises(ValueError, match=r"must be in \[0\.35, 1\], found"):
            refuse()
    assert (channels.active, channels.width_mult) == (8, 1.0)
    assert all(c.active == c.full for c in model.channels.values())


def test_widths_just_outside_the_range_are_shown_in_full():
    with pytest.raises(ValueError, match=r"must be in \[0\.25, 1\], found 0\.249998$"):
        small_lenet().set_width_mult(0.249998)


@pytest.mark.parametrize("noisy", [0.1 + 0.2, 0.3 - 9e-7, 0.3 + 9e-7, np.float32(0.3), np.float64(0.3)])
def test_a_width_within_rounding_of_a_trained_one_is_that_one(noisy):
    channels = Channels(45, trained=[0.3, 0.6], min_width_mult=0.2)
    channels.set_width_mult(noisy)
    assert (channels.width_mult, channels.active) == (0.3, 14)
    assert type(channels.width_mult) is float


@pytest.mark.parametrize(("width_mult", "count"), [(0.5, 23), (0.5 - 9e-7, 23), (0.5 - 2e-6, 22), (0.5 + 9e-7, 23)])
def test_counts_are_those_of_the_trained_width(width_mult, count):
    assert Channels(45, trained=[0.5]).count(width_mult) == count
    assert Channels(45).count(0.5 - 9e-7) == 22  # 22.5 is rounded up, what lies below is not


@pytest.mark.parametrize("noise", [-9e-7, 9e-7])
@pytest.mark.parametrize("end", [0.25, 1.0])
def test_the_ends_of_the_range_are_meant_by_widths_within_rounding(end, noise):
    model = small_lenet()
    model.set_width_mult(end + noise)
    assert {channels.width_mult for channels in model.channels.values()} == {end}


def test_evenly_spaced_widths_are_decimals():
    widths = evenly_spaced(0.1, 1.0, 19)
    assert widths == [round(0.05 * index, 2) for index in range(2, 21)]
    assert widths != np.linspace(0.1, 1.0, 19).tolist()
    assert evenly_spaced(1.0, 0.25, 1) == [1.0]


@pytest.mark.parametrize("widths", [[0.3, 0.1 + 0.2], [1.0, 0.5, 0.5], [0.5 + 9e-7, 0.5]])
def test_widths_that_differ_by_rounding_only_are_refused(widths):
    with pytest.raises(ValueError, match="must be different, by more than rounding"):
        check_apart(widths)
    check_apart([0.5, 0.5 + 2e-6, 1.0])


@pytest.mark.parametrize("width_mult", ["0.5", None, {"conv1": 0.5}])
def test_widths_that_are_no_numbers_are_refused(width_mult):
    with pytest.raises(TypeError, match=re.escape(f"must be a number in [0.25, 1], found {width_mult!r}")):
        small_lenet().set_width_mult(width_mult)


@pytest.mark.parametrize("width_mult", [0.35, 1.0])
def test_the_ends_of_the_range_are_allowed(width_mult):
    channels = Channels(8, min_width_mult=0.35)
    channels.set_width_mult(width_mult)
    assert SharedBatchNorm2d(channels).channels.active == channels.count(width_mult)


def test_fixed_dimensions_keep_their_count():
    channels = Channels.of(3)
    channels.set_width_mult(0.25)
    assert (channels.active, channels.count(0.01), channels.steps) == (3, 3, ((0.0, 3),))
    slimmable = Channels(8)
    assert Channels.of(slimmable) is slimmable


def test_repr_names_the_dimension():
    channels = Channels(8, name="conv1")
    channels.set_width_mult(0.5)
    assert repr(channels) == "Channels(conv1: 4/8)"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"full": 0}, "full and divisor must be 1 or more, found 0 and 1"),
        ({"full": 8, "divisor": 0}, "found 8 and 0"),
        ({"full": 8, "min_channels": 9}, r"min_channels must be in \[1, 8\], found 9"),
        ({"full": 8, "min_channels": 0}, r"min_channels must be in \[1, 8\], found 0"),
        ({"full": 8, "min_width_mult": 0.0}, r"min_width_mult must be in \(0, 1\], found 0"),
        ({"full": 8, "min_width_mult": 1.5}, r"min_width_mult must be in \(0, 1\], found 1.5"),
    ],
)
def test_wrong_parameters_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Channels(**options)


PATH = ((0.0, 2), (0.3, 5), (0.8, 8))


def test_a_path_says_how_many_channels_there_are_from_which_width_on():
    channels = Channels(8, divisor=4, factor=2, min_channels=4, path=PATH)  # none of these matter then
    assert [channels.count(width) for width in (0.25, 0.29, 0.3, 0.79, 0.8, 1.0)] == [2, 2, 5, 5, 8, 8]
    assert channels.steps == PATH
    channels.set_width_mult(0.5)
    assert channels.active == 5
    other = Channels(4, min_width_mult=0.25)
    assert staircase(channels, other) == staircase_slowly(channels, other) == [2, 5, 5, 8]


@pytest.mark.parametrize(
    "path",
    [
        ((0.1, 2), (0.3, 8)),
        ((0.0, 2), (0.3, 7)),
        ((0.0, 2), (1.1, 8)),
        ((0.0, 4), (0.5, 4), (0.8, 8)),
        ((0.0, 4), (0.5, 5), (0.5, 8)),
        ((0.0, 0), (0.5, 8)),
    ],
)
def test_a_path_rises_from_width_0_to_all_channels(path):
    with pytest.raises(ValueError, match="a path must rise from width 0 to 8 channels at a width of at most 1"):
        Channels(8, path=path)


@pytest.mark.parametrize(("full", "factor"), [(31, 6), (5, 6), (6, 0)])
def test_a_factor_divides_the_full_count(full, factor):
    with pytest.raises(ValueError, match=f"factor must divide full, found {factor} and {full}"):
        Channels(full, factor=factor)


@pytest.mark.parametrize("divisor", [1, 8])
def test_a_factor_multiplies_every_count_and_step(divisor):
    base, expanded = Channels(34, divisor=divisor), Channels(204, divisor=divisor, factor=6)
    for width_mult in (0.01, 0.25, 0.26, 0.5, 0.77, 1.0):
        assert expanded.count(width_mult) == 6 * base.count(width_mult)
    assert expanded.steps == tuple((width_mult, 6 * count) for width_mult, count in base.steps)
    assert staircase(base, expanded) == [limit for limit in staircase(base, base) for _ in range(6)]
