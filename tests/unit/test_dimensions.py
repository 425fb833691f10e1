"""Which axes are one dimension: cases worked out by hand."""

from awnlib.convert.dimensions import AxisPieces, joined, unify, whole_groups


def shape(axis):
    """Sizes and multiples of what an axis consists of."""
    return [(piece.dimension.size, piece.each) for piece in axis.pieces]


def same(one, other):
    return [piece.dimension for piece in one.pieces] == [piece.dimension for piece in other.pieces]


def test_what_is_added_is_one_dimension():
    a, b, c = (AxisPieces.new(6, name) for name in "abc")
    unify(a, b, "add")
    unify(b, c, "add")
    assert same(a, c)
    assert same(a, b)
    assert [piece.dimension.name for piece in c.pieces] == ["a"] or shape(c) == [(6, 1)]


def test_a_map_that_is_added_to_a_concatenation_falls_into_two():
    a, b, whole = AxisPieces.new(2), AxisPieces.new(3), AxisPieces.new(5)
    unify(whole, joined([a, b]), "add")
    assert shape(whole) == [(2, 1), (3, 1)]
    assert same(whole, joined([a, b]))


def test_two_concatenations_with_other_borders():
    """2 + 4 and 3 + 3: borders after 2 and 3."""
    a, b, c, d = (AxisPieces.new(size) for size in (2, 4, 3, 3))
    unify(joined([a, b]), joined([c, d]), "add")
    assert shape(joined([a, b])) == [(2, 1), (1, 1), (3, 1)]
    assert same(joined([a, b]), joined([c, d]))


def test_concatenations_the_other_way_round_are_single_channels():
    """x = a b and x = b a, of 2 and 3: every channel equals the one two further on, and 2 and 5 have no divisor."""
    a, b = AxisPieces.new(2), AxisPieces.new(3)
    unify(joined([a, b]), joined([b, a]), "add")
    assert len({piece.dimension for piece in joined([a, b]).pieces}) == 1


def test_multiples_are_of_one_dimension():
    """A map of 4 channels flattened at 3 positions, and a layer of 12: four units of three."""
    a, b = AxisPieces.new(4), AxisPieces.new(12)
    unify(a.times(3), b, "add")
    assert (shape(a), shape(b)) == ([(4, 1)], [(4, 3)])
    assert b.over(3) is not None
    assert same(b.over(3), a)
    assert a.over(2) is None


def test_multiples_that_share_no_unit_are_fixed():
    a, b = AxisPieces.new(3), AxisPieces.new(2)
    unify(a.times(4), b.times(6), "add")  # units of 12: one channel
    assert shape(a) == [(1, 3)]
    a, b, rest = AxisPieces.new(3), AxisPieces.new(4), AxisPieces.new(6)
    unify(joined([a.times(2), rest]), b.times(3), "block.add")  # 6 elements are three channels of 2, two of 3
    assert shape(a) == [(1, 3)]
    assert not a.pieces[0].dimension.reason
    c, d = AxisPieces.new(5), AxisPieces.new(2)
    unify(joined([c, AxisPieces.new(1)]), d.times(3), "block.add")  # the border after 5 cuts the second channel
    assert [piece.dimension.reason for piece in d.pieces] == ["its parts do not fit each other in block.add"]
    assert {piece.dimension.reason for piece in c.pieces} == {"its parts do not fit each other in block.add"}


def test_groups_are_whole():
    a, b = AxisPieces.new(12), AxisPieces.new(6)
    assert whole_groups(a, 4, "conv")
    assert shape(a) == [(3, 4)]
    unify(a, b.times(2), "add")
    assert shape(b) == [(3, 2)]
    assert not whole_groups(joined([AxisPieces.new(3), b]), 2, "conv")
    assert {piece.dimension.reason for piece in b.pieces} == {"groups of 2 do not fit its parts in conv"}


def test_what_is_added_to_something_fixed_is_fixed_for_its_reason():
    whole, image, more = AxisPieces.new(5), AxisPieces.new(3, reason="an input"), AxisPieces.new(2)
    unify(joined([image, more]), whole, "add")
    assert [piece.dimension.reason for piece in whole.pieces] == ["an input", ""]
    assert [piece.dimension.size for piece in whole.pieces] == [3, 2]
    late = AxisPieces.new(2)
    unify(late, more, "add")
    late.fix("an output")
    assert [piece.dimension.reason for piece in whole.pieces] == ["an input", "an output"]


def test_a_fixed_axis_has_no_borders():
    fixed, a, b = AxisPieces.new(5, reason="an input"), AxisPieces.new(2), AxisPieces.new(3)
    unify(fixed, joined([a, b]), "add")
    assert {piece.dimension.reason for piece in joined([a, b]).pieces} == {"an input"}
