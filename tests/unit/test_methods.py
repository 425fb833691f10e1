"""The rows of methods.yaml say what the papers say, and a study's changes to them are checked."""

import math

import pytest

from awnlib.settings import ConfigError
from awnlib.training import methods
from awnlib.training.methods import FOR_READERS, Method, load_methods

PLAIN = {"label": "x", "layer": "sliced", "norm": "shared"}

# Written down from the papers, not from the file: layer, norm, widths of a step, widths a step, base width,
# distillation, recalibration, individual.
PAPERS = {
    "awn": ("triangular", "shared", "fixed", None, math.sqrt(2), False, [], False),
    "awn_rs": ("triangular", "shared", "sandwich", None, math.sqrt(2), False, [], False),
    "awn_plain_width": ("triangular", "shared", "fixed", None, 1.0, False, [], False),
    "awn_2w": ("triangular", "shared", "fixed", 2, math.sqrt(2), False, [], False),
    "awn_3w": ("triangular", "shared", "fixed", 3, math.sqrt(2), False, [], False),
    "s_net": ("sliced", "switchable", "fixed", None, 1.0, False, [], False),
    "us_net": ("sliced", "recalibrated", "sandwich", None, 1.0, True, [4, 10, 20], False),
    "shared_bn": ("sliced", "shared", "fixed", None, 1.0, False, [], False),
    "i_net": ("sliced", "shared", "fixed", None, 1.0, False, [], True),
    "full_width_triangular": ("triangular", "shared", "fixed", 1, math.sqrt(2), False, [], False),
    "full_width_dense": ("sliced", "shared", "fixed", 1, 1.0, False, [], False),
}


def facts(row):
    return (
        row.layer,
        row.norm,
        row.widths,
        row.num_widths,
        row.base_width_mult,
        row.distillation,
        row.recalibration,
        row.individual,
    )


def test_every_row_means_what_its_paper_says():
    found = load_methods()
    assert {name: facts(found[name]) for name in PAPERS} == PAPERS
    assert not any(row.dense_base for row in found.values())


def test_every_row_has_a_label_of_its_own_and_a_source():
    rows = load_methods().values()
    assert len({row.label for row in rows}) == len(rows)
    assert all(row.source for row in rows)


def test_hard_labels_are_all_that_distinguishes_a_us_net_without_distillation():
    rows = load_methods()
    us_net, hard = (rows[name].model_dump(exclude=FOR_READERS) for name in ("us_net", "us_net_hard"))
    assert hard == {**us_net, "distillation": False}


def test_labels_are_those_of_the_paper():
    labels = {name: row.label for name, row in load_methods().items()}
    assert labels["awn"] == "AWN"
    assert labels["awn_rs"] == "AWN+RS"
    assert labels["s_net"] == "S-Net"
    assert labels["us_net"] == "US-Net"
    assert labels["i_net"] == "I-Net"
    assert labels["shared_bn"] == "Standard BN"
    assert labels["awn_2w"] == "TriConv(2w)"


def test_a_change_touches_its_fields_only_and_rows_derived_from_it():
    before, after = load_methods(), load_methods({"awn": {"base_width_mult": 1.5}})
    assert after["awn"] == before["awn"].model_copy(update={"base_width_mult": 1.5})
    assert after["awn_rs"].base_width_mult == 1.5  # awn_rs says only how it differs from awn
    assert after["s_net"] == before["s_net"]
    assert load_methods()["awn"] == before["awn"]


def test_the_file_is_read_once_and_what_is_returned_shares_nothing(monkeypatch):
    before = load_methods()
    before["us_net"].recalibration.append(3)
    del before["awn"]
    monkeypatch.setattr(methods, "read_yaml", lambda path: pytest.fail(f"{path} is read again"))
    assert load_methods()["us_net"].recalibration == [4, 10, 20]
    assert "awn" in load_methods({"mine": PLAIN})


def test_new_rows_from_a_base_and_from_nothing():
    rows = load_methods(
        {
            "wide": {"base": "us_net", "label": "wide", "num_widths": 8},
            "plain": PLAIN,
            "far": {"base": "wide", "label": "far"},
        }
    )
    assert rows["wide"].num_widths == rows["far"].num_widths == 8
    assert rows["far"].distillation
    assert rows["plain"] == Method(**PLAIN)


def test_a_built_in_row_may_get_another_base():
    assert load_methods({"awn_rs": {"base": "s_net"}})["awn_rs"].layer == "sliced"


def problem(changes):
    with pytest.raises(ConfigError) as caught:
        load_methods(changes)
    return "\n".join(caught.value.problems)


def test_unknown_base_lists_the_known_ones():
    text = problem({"x": {"base": "anw"}})
    assert text.startswith("methods.x.base: unknown name 'anw' (allowed: awn, awn_2w, ")


def test_cycles_of_bases_are_shown():
    assert problem({"x": {"base": "x"}}) == "methods.x.base: refers back to itself (x -> x)"
    assert "refers back to itself (a -> b -> a)" in problem({"a": {"base": "b"}, "b": {"base": "a"}})
    assert "refers back to itself (awn -> awn_rs -> awn)" in problem({"awn": {"base": "awn_rs"}})


@pytest.mark.parametrize("base", [["awn"], 3, {"awn": 1}])
def test_base_that_is_no_name(base):
    assert problem({"x": {"base": base}}).startswith("methods.x.base: ")


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"awn": {"lyaer": "sliced"}}, "methods.awn.lyaer", "did you mean 'layer'?"),
        ({"awn": {"layer": "square"}}, "methods.awn.layer", "'triangular' or 'sliced'"),
        ({"awn": {"num_widths": 0}}, "methods.awn.num_widths", "greater than or equal to 1"),
        ({"awn": {"num_widths": "4"}}, "methods.awn.num_widths", "found '4' (str)"),
        ({"awn": {"base_width_mult": 0}}, "methods.awn.base_width_mult", "greater than 0"),
        ({"new": {"layer": "sliced", "norm": "shared"}}, "methods.new.label", "is required"),
        ({"awn": {"recalibration": [4]}}, "methods.awn", "norm 'recalibrated' and a list"),
        ({"us_net": {"recalibration": []}}, "methods.us_net", "norm 'recalibrated' and a list"),
        ({"us_net": {"recalibration": [1]}}, "methods.us_net", "at least 2 widths"),
        (
            {"us_net": {"recalibration": ["sweep"]}},
            "methods.us_net.recalibration.0",
            "'swept' or a mapping, found 'sweep'",
        ),
        ({"us_net": {"recalibration": ["swept", {"widths": "swept"}]}}, "methods.us_net", "the same twice"),
        ({"awn_rs": {"num_widths": 1}}, "methods.awn_rs", "needs num_widths of 2 or more"),
        ({"us_net": {"widths": "max_random", "num_widths": 1}}, "methods.us_net", "needs num_widths of 2 or more"),
        ({"us_net_hard": {"widths": "min_random", "num_widths": 1}}, "methods.us_net_hard", "num_widths of 2 or more"),
        ({"s_net": {"widths": "random"}}, "methods.s_net", "norm 'switchable' keeps statistics of fixed widths"),
        ({"s_net": {"widths": "min_random"}}, "methods.s_net", "which widths 'min_random' does not have"),
        ({"s_net": {"widths": "max_random"}}, "methods.s_net", "which widths 'max_random' does not have"),
        ({"us_net": {"widths": "random"}}, "methods.us_net", "distillation needs the largest width"),
        ({"us_net": {"widths": "min_random"}}, "methods.us_net", "distillation needs the largest width"),
        ({"awn": {"distillation": True, "num_widths": 1}}, "methods.awn", "distillation needs the largest width"),
        ({"i_net": {"norm": "switchable"}}, "methods.i_net", "individual networks have one width"),
        ({"i_net": {"num_widths": 2}}, "methods.i_net", "individual networks have one width"),
        ({"awn": {"width_vector": {"conv1": 0.0}}}, "methods.awn", "multipliers of a width_vector must be above 0"),
        ({"awn": {"width_vector": [1.0]}}, "methods.awn.width_vector", "valid dictionary"),
        ({"s_net": {"dense_base": True}}, "methods.s_net", "dense_base is an option of triangular layers"),
        ({"us_net_hard": {"label_share": 0.5}}, "methods.us_net_hard", "label_share are options of distillation"),
        (
            {"awn": {"distance": "alpha_divergence"}},
            "methods.awn",
            "distance and label_share are options of distillation",
        ),
        ({"us_net": {"label_share": 1.5}}, "methods.us_net.label_share", "less than or equal to 1"),
        ({"us_net": {"label_share": -0.1}}, "methods.us_net.label_share", "greater than or equal to 0"),
        ({"us_net": {"label_share_decay": "linear"}}, "methods.us_net", "needs a label_share above 0"),
        ({"us_net": {"distance": "l3"}}, "methods.us_net.distance", "'alpha_divergence'"),
        ({"us_net": {"affine": "shared"}}, "methods.us_net", "norm 'switchable', found norm 'recalibrated'"),
        ({"awn": {"affine": "shared"}}, "methods.awn", "norm 'switchable', found norm 'shared'"),
        ({"awn": {"average_inputs": True}}, "methods.awn", "average_inputs is an option of sliced layers"),
        ({"i_net": {"average_inputs": True}}, "methods.i_net", "individual networks have one width"),
        ({"awn": {"min_width_mult": 1.0}}, "methods.awn.min_width_mult", "less than 1"),
        ({"awn": {"min_width_mult": 0.0}}, "methods.awn.min_width_mult", "greater than 0"),
        ({"awn": {"min_width_mult": 0.9999999}}, "methods.awn", "different, by more than rounding"),
        ({"i_net": {"min_width_mult": 0.5}}, "methods.i_net", "individual networks have one width"),
        ({"us_net": {"divisor": 0}}, "methods.us_net.divisor", "greater than or equal to 1"),
    ],
)
def test_rows_that_contradict_themselves(change, path, words):
    text = problem(change)
    assert f"{path}:" in text
    assert words in text


def test_recalibration_points_are_named_once():
    """Each number of points is one evaluation, so that a repeated one would be the same evaluation twice."""
    assert problem({"us_net": {"recalibration": [4, 4]}}).startswith("methods.us_net")


@pytest.mark.parametrize(
    ("smallest", "widths", "expected"),
    [
        (None, [1.0, 0.5, 0.25], [1.0, 0.5, 0.25]),
        (0.05, [1.0, 0.5, 0.25], [1.0, 0.5, 0.05]),
        (0.35, [1.0, 0.5, 0.25], [1.0, 0.5, 0.35]),
        (0.5, [1.0, 0.5, 0.25], [1.0, 0.5]),
        (0.5, [1.0, 0.5 + 1e-9, 0.25], [1.0, 0.5]),
        (0.9, [1.0, 0.5, 0.25], [1.0, 0.9]),
        (0.5, [1.0], [1.0, 0.5]),
    ],
)
def test_a_method_s_smallest_width_is_in_place_of_the_study_s(smallest, widths, expected):
    assert Method(**PLAIN, min_width_mult=smallest).own_widths(widths) == expected
