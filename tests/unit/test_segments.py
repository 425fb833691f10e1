"""Axes of several dimensions, against cases computed by hand."""

import pytest
import torch

from awnlib.channels import Channels
from awnlib.layers.segments import Segments, axis_of, parts_of, put, take


def a_and_b(width_mult):
    a, b = Channels(4, name="a"), Channels(3, name="b")
    for channels in (a, b):
        channels.set_width_mult(width_mult)
    return a, b


def test_a_concatenation_is_a_union_of_prefixes_and_no_prefix():
    axis = Segments([(part, 1) for part in a_and_b(0.5)])
    assert (axis.full, axis.active, axis.name) == (7, 4, "a + b")
    assert take(torch.arange(7), axis).tolist() == [0, 1, 4, 5]  # 1.5 of b is 2
    assert take(torch.arange(14).reshape(2, 7), axis, dim=1).tolist() == [[0, 1, 4, 5], [7, 8, 11, 12]]
    assert [axis.count(width_mult) for width_mult in (0.25, 0.5, 1.0)] == [2, 4, 7]


def test_multiples_stay_one_dimension():
    groups = Channels(4)
    inputs, outputs = Segments([(groups, 3)]), Segments([(groups, 2)])
    groups.set_width_mult(0.5)
    assert (inputs.full, inputs.active, outputs.full, outputs.active) == (12, 6, 8, 4)
    assert take(torch.arange(12), inputs).tolist() == [*range(6)]


def test_a_flattened_concatenation_has_whole_maps():
    axis = Segments([(part, 1) for part in a_and_b(0.5)]).times(2)
    assert axis.full == 14
    assert take(torch.arange(14), axis).tolist() == [0, 1, 2, 3, 8, 9, 10, 11]


def test_fixed_parts_stay():
    a, _ = a_and_b(0.25)
    axis = Segments([(Channels.of(2), 1), (a, 1), (Channels.of(1), 2)])
    assert take(torch.arange(8), axis).tolist() == [0, 1, 2, 6, 7]
    assert not axis.fixed
    assert Segments([(Channels.of(2), 1), (Channels.of(1), 2)]).fixed


def test_all_of_an_axis_is_one_view():
    axis = Segments([(part, 1) for part in a_and_b(1.0)])
    values = torch.arange(7)
    assert take(values, axis).data_ptr() == values.data_ptr()
    assert axis.runs() == [(0, 7)]


@pytest.mark.parametrize("width_mult", [0.25, 0.5, 1.0])
def test_what_is_put_is_what_is_taken(width_mult):
    axis = Segments([(part, 1) for part in a_and_b(width_mult)])
    values = torch.zeros(7)
    put(values, axis, torch.arange(axis.active) + 1.0)
    assert take(values, axis).tolist() == [*range(1, axis.active + 1)]
    assert int(values.count_nonzero()) == axis.active


def test_parts_of_different_widths():
    a, b = a_and_b(0.5)
    b.set_width_mult(1.0)
    axis = Segments([(a, 1), (b, 1)])
    assert (axis.active, axis.width_mult) == (5, 1.0)
    axis.trained = [0.5, 1.0]
    assert a.trained == b.trained == axis.trained == (0.5, 1.0)


def test_channels_and_numbers_are_axes():
    a, _ = a_and_b(0.5)
    assert axis_of(a) is a
    assert parts_of(a) == [(a, 1)]
    assert (axis_of(3).fixed, axis_of(3).active) == (True, 3)
    assert take(torch.arange(4), a).tolist() == [0, 1]


def test_empty_axes_and_multiples_are_refused():
    with pytest.raises(ValueError, match="an axis needs one or more parts, found none"):
        Segments([])
    with pytest.raises(ValueError, match="one or more elements a channel, found 0"):
        Segments([(Channels(4), 0)])
