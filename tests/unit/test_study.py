"""The run table: what a study trains and sweeps, under which names, and what makes a run another run."""

import pytest

from awnlib.results.variants import Variant, in_order, parse_variant, recalibration_points
from awnlib.settings import ConfigError
from awnlib.studies.widths.cells import evaluations, find_run, runs
from awnlib.studies.widths.config import parse_study
from awnlib.studies.widths.stages import jobs
from tests.conftest import STUDY


def exhibit(*methods, dataset="shapes"):
    return {"panels": [{"model": "lenet_3c1l", "dataset": dataset}], "methods": list(methods)}


@pytest.fixture
def study(study_data):
    study_data |= {"seeds": [3, 0], "datasets": {"shapes": {"source": "mnist5k"}, "other": {"source": "mnist5k"}}}
    shown = {
        "any_width_networks.table1": exhibit("awn", "us_net"),
        "any_width_networks.table2": exhibit("us_net", dataset="other"),
    }
    study_data["exhibits"] = {**shown, "any_width_networks.figure5": exhibit("awn", "i_net")}
    return parse_study(study_data)


def test_run_and_evaluation_names_written_out(study):
    """Three exhibits of two data sets: shared cells once, i_net once a width, us_net once a recalibration."""
    folders = [
        "shapes/lenet_3c1l/awn",
        "shapes/lenet_3c1l/us_net",
        "other/lenet_3c1l/us_net",
        "shapes/lenet_3c1l/i_net@1.0",
        "shapes/lenet_3c1l/i_net@0.75",
        "shapes/lenet_3c1l/i_net@0.5",
        "shapes/lenet_3c1l/i_net@0.25",
    ]
    table = runs(study)
    assert sorted(run.name for run in table) == sorted(f"{name}/seed{seed}" for name in folders for seed in (0, 3))
    variants = {name: ["recal4", "recal10", "recal20"] if "us_net" in name else ["as_trained"] for name in folders}
    expected = [f"{name}/seed{seed}/{variant}" for name in folders for seed in (0, 3) for variant in variants[name]]
    assert sorted(evaluation.name for evaluation in evaluations(table)) == sorted(expected)


def test_cells_are_named_once(study):
    found = [(dataset, method) for _, dataset, method in study.cells()]
    assert sorted(found) == [("other", "us_net"), ("shapes", "awn"), ("shapes", "i_net"), ("shapes", "us_net")]


def test_labels_of_evaluations(study):
    labels = {(one.run.method, one.variant): one.label for one in evaluations(runs(study))}
    us_net = {("us_net", f"recal{points}"): f"US-Net({points}w)" for points in (4, 10, 20)}
    assert labels == us_net | {("awn", "as_trained"): "AWN", ("i_net", "as_trained"): "I-Net"}


@pytest.mark.parametrize(
    ("variant", "name", "words"),
    [
        (Variant(), "as_trained", ""),
        (Variant(10), "recal10", "10w"),
        (Variant(10, "moving"), "recal10-moving", "10w, moving"),
        (Variant(10, None, 512), "recal10-512", "10w, 512 images"),
        (Variant(10, "moving", 512), "recal10-moving-512", "10w, moving, 512 images"),
        (Variant("swept"), "recal-swept", ""),
        (Variant("swept", "moving", 512), "recal-swept-moving-512", "moving, 512 images"),
        (Variant(10, slimmed=True), "slimmed10", "10w, slimmed"),
        (Variant("swept", slimmed=True), "slimmed-swept", "slimmed"),
        (Variant(10, "moving", 512, slimmed=True), "slimmed10-moving-512", "10w, slimmed, moving, 512 images"),
    ],
)
def test_a_variant_has_a_name_and_the_name_a_variant(variant, name, words):
    assert (variant.name, variant.words) == (name, words)
    assert parse_variant(name) == variant


@pytest.mark.parametrize("name", ["recal", "recal-10", "recal10-median", "recal10-512-moving", "trained", "recal10 "])
def test_what_names_no_variant_is_refused(name):
    with pytest.raises(ValueError, match=rf"no variant is called '{name}' \(allowed: as_trained, recal10, recal-sw"):
        parse_variant(name)


def test_recalibrations_that_differ_from_the_study(study_data):
    study_data["recalibration"] = {"averaging": "exact", "num_images": 64}
    rows = [4, {"widths": 4, "averaging": "moving"}, {"widths": 4, "num_images": 512, "averaging": "exact"}]
    study_data["methods"] = {"us_net": {"recalibration": rows}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net"]
    table = evaluations(runs(parse_study(study_data)))
    assert [one.variant for one in table] == ["recal4", "recal4-moving", "recal4-512"]
    assert [one.label for one in table] == ["US-Net(4w)", "US-Net(4w, moving)", "US-Net(4w, 512 images)"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"widths": 4, "averaging": "exact"}, "names the same twice"),  # what the study says anyway
        ({"widths": 4, "averaging": "mean"}, "'exact' or 'moving'"),
        ({"widths": 4, "images": 5}, "unknown key"),
        ({"averaging": "moving"}, "is required"),
        ({"widths": 1, "averaging": "moving"}, "at least 2 widths"),
    ],
)
def test_recalibrations_that_cannot_be_are_refused(study_data, row, words):
    study_data["methods"] = {"us_net": {"recalibration": [4, row]}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net"]
    with pytest.raises(ConfigError, match=words):
        parse_study(study_data)


@pytest.mark.parametrize("sweep", [{}, {"most_widths": 5}, {"width_mults": [0.25, 0.5]}, {"width_mults": [0.3, 1.0]}])
def test_statistics_of_swept_widths_need_their_list(study_data, sweep):
    study_data["methods"] = {"us_net": {"recalibration": ["swept"]}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net"]
    study_data["sweep"] = sweep
    with pytest.raises(
        ConfigError, match=r"methods.us_net.recalibration: swept needs sweep.width_mults with .* 0.25 and 1"
    ):
        parse_study(study_data)
    assert parse_study(study_data | {"sweep": {"width_mults": [0.1, 0.25, 1.0]}})


def test_slimmed_networks_are_evaluated_beside_the_others(study_data):
    study_data["methods"] = {"us_net_nonuniform": {"recalibration": [4, {"widths": 4, "averaging": "moving"}]}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net_nonuniform"]
    study_data["train"] = {"held_out": 0.1}
    study = parse_study(study_data)
    names = ["recal4", "recal4-moving", "slimmed4", "slimmed4-moving"]
    assert [one.variant for one in evaluations(runs(study))] == names == in_order(reversed(names))
    (run,) = runs(study)
    table = jobs(study)
    assert list(table["slim_widths"]) == [run.name]
    assert table["slim_widths"][run.name].needs == {"trained": table["train_model"][run.name]}
    needs = [table["recalibrate_bn"][f"{run.name}/{name}"].needs["trained"].stage for name in names]
    assert needs == ["train_model"] * 2 + ["slim_widths"] * 2


@pytest.mark.parametrize(
    ("methods", "train", "words"),
    [
        (
            {},
            {},
            "train.held_out, with overrides: slimming of us_net_nonuniform needs images that are not trained with",
        ),
        ({"us_net_nonuniform": {"widths": "fixed"}}, {}, "widths_per_layer needs random widths"),
        ({"awn": {"slimming": True}}, {}, "slimming is an option of sliced layers with norm 'recalibrated'"),
    ],
)
def test_slimming_without_what_it_needs_is_refused(study_data, methods, train, words):
    study_data |= {"methods": methods, "train": train}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net_nonuniform"]
    with pytest.raises(ConfigError, match=words):
        parse_study(study_data)


def test_whether_it_is_slimmed_trains_nothing_anew(study_data):
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["us_net_nonuniform"]
    study_data["train"] = {"held_out": 0.1}
    (slimmed,) = runs(parse_study(study_data))
    study_data["methods"] = {"us_net_nonuniform": {"slimming": False}}
    (other,) = runs(parse_study(study_data))
    assert slimmed.training_settings() == other.training_settings()
    assert {"widths_per_layer", "slimming"}.isdisjoint(
        runs(parse_study(STUDY))[0].training_settings()["method_settings"]
    )


def test_recalibration_points():
    assert recalibration_points("as_trained") is None
    assert recalibration_points("recal20") == 20
    assert in_order(["recal-swept", "recal20", "as_trained", "recal4"]) == [
        "as_trained",
        "recal4",
        "recal20",
        "recal-swept",
    ]


def test_individual_networks_follow_the_widths_of_their_cell(study_data):
    study_data["exhibits"] = {"any_width_networks.table2": exhibit("i_net")}
    study_data["overrides"] = [{"method": "i_net", "widths": [1.0, 0.35]}]
    table = runs(parse_study(study_data))
    assert [run.individual_width for run in table] == [1.0, 0.35]
    assert [run.name.split("/")[2] for run in table] == ["i_net@1.0", "i_net@0.35"]


def test_names_never_collide(study_data):
    """Either refused with a message or told apart; the workflow keeps runs by name and would lose one."""
    study_data["methods"] = {"i_net_0.5": {"base": "awn", "label": "awkward"}}
    study_data["exhibits"] = {"any_width_networks.table2": exhibit("i_net", "i_net_0.5")}
    try:
        names = [run.name for run in runs(parse_study(study_data))]
    except ConfigError:
        return
    assert len(set(names)) == len(names)


def test_widths_that_differ_little_have_names_of_their_own(study_data):
    study_data["exhibits"] = {"any_width_networks.table2": exhibit("i_net")}
    study_data["widths"] = [1.0, 0.500002, 0.5]
    names = [run.name for run in runs(parse_study(study_data))]
    assert len(set(names)) == 3


def test_a_run_carries_what_it_depends_on(study_data):
    study_data["models"] = {"lenet_3c1l": {"divisor": 8}}
    study_data["datasets"]["shapes"]["augment"] = "crop_flip"
    study_data["overrides"] = [{"method": "awn", "train": {"lr": 0.5}, "widths": [1.0, 0.5]}]
    study_data["track"] = {"num_points": 7}
    (run,) = runs(parse_study(study_data))
    assert (run.augment, run.model_settings.divisor, run.train.lr) == ("crop_flip", 8, 0.5)
    assert (run.widths, run.track.num_points, run.individual_width) == ([1.0, 0.5], 7, None)
    assert run.method_settings.label == "AWN"


def changed(study_data, method="us_net", **changes):
    study_data["exhibits"] = {"any_width_networks.table2": exhibit(method)}
    before = runs(parse_study(study_data))[0].training_settings()
    return before != runs(parse_study({**study_data, **changes}))[0].training_settings()


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": {"us_net": {"label": "U"}}},
        {"methods": {"us_net": {"source": "me"}}},
        {"methods": {"us_net": {"recalibration": [4, 30]}}},
        {"methods": {"awn": {"num_widths": 3}}},
        {"seeds": [0, 1]},
        {"recalibration": {"num_images": 64}},
        {"sweep": {"batch_size": 10}},
        {"description": "other words"},
        {"overrides": [{"method": "awn", "train": {"lr": 1.0}}]},
        {"device": "cpu"},
        {"train": {"num_workers": 4}},
    ],
)
def test_what_trains_nothing_anew(study_data, changes):
    assert not changed(study_data, **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": {"us_net": {"distillation": False}}},
        {"methods": {"us_net": {"num_widths": 5}}},
        {"methods": {"us_net": {"base_width_mult": 1.1}}},
        {"methods": {"us_net": {"widths": "fixed"}}},
        {"train": {"lr": 0.5}},
        {"train": {"num_processes": 2}},
        {"widths": [1.0, 0.5]},
        {"models": {"lenet_3c1l": {"divisor": 8}}},
        {"datasets": {"shapes": {"source": "mnist5k", "augment": "crop_flip"}}},
        {"overrides": [{"train": {"num_epochs": 1}}]},
        {"track": {"num_points": 5}},
        {"seeds": [1]},
    ],
)
def test_what_trains_anew(study_data, changes):
    assert changed(study_data, **changes)


def test_unknown_names(study):
    message = r"no run 'shapes/lenet_3c1l/awn/seed7' in this study \(it has: .*shapes/lenet_3c1l/awn/seed0"
    with pytest.raises(ValueError, match=message):
        find_run(study, "shapes/lenet_3c1l/awn/seed7")
    assert find_run(study, "other/lenet_3c1l/us_net/seed3").seed == 3


def test_a_method_that_is_not_trained_changes_no_table(study_data):
    before = parse_study(study_data).tabled()
    assert before == {"awn": "AWN"}
    assert parse_study(study_data | {"methods": {"mine": {"base": "awn", "label": "x"}}}).tabled() == before
    assert parse_study(study_data | {"methods": {"awn": {"label": "x"}}}).tabled() == {"awn": "x"}
