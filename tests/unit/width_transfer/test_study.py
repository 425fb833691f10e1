"""The configuration of a width-transfer study: which searches and retrainings it needs, and what is refused."""

import copy
import re

import pytest
import yaml

from awnlib.results.exhibits import PAPERS
from awnlib.settings import ConfigError
from awnlib.studies.base import study_yaml
from awnlib.studies.transfer.cells import Configuration, configuration_title
from awnlib.studies.transfer.checks import check_networks
from awnlib.studies.transfer.config import load_transfer_study, parse_transfer_study
from awnlib.training.run import RunConfig

PAPER = PAPERS / "width_transfer" / "setting.yaml"

STUDY = {
    "study": "tiny",
    "seeds": [0, 1],
    "datasets": {
        "digits": {"source": "mnist5k", "train_size": 400},
        "colours": {"source": "cifar10", "image_size": 64, "augment": "crop_flip"},
    },
    "transfer": {
        "search": {"num_epochs": 3, "batch_size": 20},
        "optimizers": {
            "dmcp": {"settings": {"num_epochs": 5}},
            "folded": {"optimizer": "dmcp", "label": "DMCP, 2 folds", "settings": {"folds": 2}},
        },
        "train": {"batch_size": 20},
        "axes": {
            "width": {
                "kind": "width",
                "model": "resnet18",
                "dataset": "digits",
                "target": {"depth_mult": 1},
                "sources": [{"width_mult": 0.5}, {"width_mult": 0.25}],
            },
            "depth": {
                "kind": "stacking",
                "model": "resnet18",
                "dataset": "digits",
                "target": {"depth_mult": 2},
                "sources": [{"depth_mult": 1}],
                "optimizers": ["dmcp"],
                "stackings": ["average_block", "last_block"],
            },
        },
    },
}


@pytest.fixture
def data():
    return copy.deepcopy(STUDY)


def changed(data, path, value):
    *parents, last = path.split(".")
    part = data
    for key in parents:
        part = part[int(key) if isinstance(part, list) else key]
    part[int(last) if isinstance(part, list) else last] = value
    return data


# --- what is needed --------------------------------------------------------------------------------------------------


def test_every_search_is_done_once(data):
    """Three sources of two optimisers, and the deep target of one: the plain network serves both axes."""
    searches = parse_transfer_study(data).searches()
    assert len(searches) == 2 * (3 * 2 + 1)
    assert [name for name in searches if name.endswith("/dmcp/seed1")] == [
        "resnet18/digits/w1-d1-s1/dmcp/seed1",
        "resnet18/digits/w0.5-d1-s1/dmcp/seed1",
        "resnet18/digits/w0.25-d1-s1/dmcp/seed1",
        "resnet18/digits/w1-d2-s1/dmcp/seed1",
    ]


ONLY = [
    ("width", ["width"], []),
    (["depth", "stand_ins"], ["depth"], ["stand_ins"]),
    (["width", "depth", "stand_ins", "digits"], ["width", "depth"], []),
    (["digits"], ["width", "depth"], []),  # a comparison needs all of its data sets
    (["resnet18", "width"], ["width"], []),
    ([], ["width", "depth"], ["stand_ins"]),
]


def with_comparison(data):
    part = {"model": "mobilenet_v2", "datasets": ["digits", "colours"], "configurations": [{}]}
    return changed(data, "transfer.comparisons", {"stand_ins": part})


@pytest.mark.parametrize(("only", "axes", "comparisons"), ONLY)
def test_only_some_axes_and_comparisons(data, only, axes, comparisons):
    study = parse_transfer_study({**with_comparison(data), "only": only})
    assert (list(study.transfer.axes), list(study.transfer.comparisons)) == (axes, comparisons)
    assert {axis.name for axis in study.axes()} == {*axes, *comparisons}
    assert parse_transfer_study(study.model_dump()) == study


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("wiidth", "only: unknown name 'wiidth' (allowed: colours, depth, digits, "),
        (["mobilenet_v2", "width"], "only: nothing in this study has mobilenet_v2 and width"),
        (["width", "width"], "only: 'width' is named twice"),
    ],
)
def test_wrong_names_in_only(data, only, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_transfer_study({**with_comparison(data), "only": only})


def test_every_retraining_is_done_once(data):
    cells = parse_transfer_study(data).retrainings()
    deep = [name for name in cells if name.startswith("resnet18/digits/w1-d2-s1/") and name.endswith("seed0")]
    assert deep == [
        "resnet18/digits/w1-d2-s1/uniform/seed0",
        "resnet18/digits/w1-d2-s1/w1-d2-s1/dmcp/none/seed0",
        "resnet18/digits/w1-d2-s1/w1-d1-s1/dmcp/average_block/seed0",
        "resnet18/digits/w1-d2-s1/w1-d1-s1/dmcp/last_block/seed0",
    ]
    assert len(cells) == 2 * (len(deep) + 1 + 3 * 2)
    assert all(name == cell.name for name, cell in cells.items())


def test_direct_optimisation_is_a_source_of_every_axis(data):
    for axis in parse_transfer_study(data).axes():
        assert axis.sources[0] == axis.target


def test_an_axis_that_repeats_another_adds_nothing(data):
    before = parse_transfer_study(data)
    axes = data["transfer"]["axes"]
    axes["again"] = {**axes["width"], "sources": [{"width_mult": 0.25}]}
    after = parse_transfer_study(data)
    assert after.searches() == before.searches()
    assert after.retrainings() == before.retrainings()


def test_images_in_every_resolution(data):
    data["transfer"]["axes"]["resolution"] = {
        "kind": "resolution",
        "model": "resnet18",
        "dataset": "colours",
        "sources": [{"image_size": 16}],
    }
    study = parse_transfer_study(data)
    images = study.images()
    assert {name: config.image_size for name, config in images.items()} == {
        "digits": None,
        "colours@64": 64,
        "colours@16": 16,
    }
    assert images["colours@16"].augment == "crop_flip"


def test_a_comparison_optimises_directly_on_every_data_set(data):
    data["transfer"]["comparisons"] = {
        "sets": {
            "model": "resnet18",
            "datasets": ["digits", "colours"],
            "configurations": [{"width_mult": 0.5}, {"depth_mult": 3}],
            "optimizers": ["dmcp"],
        }
    }
    study = parse_transfer_study(data)
    axes = [axis for axis in study.axes() if axis.name == "sets"]
    assert [axis.target.name for axis in axes] == [
        "resnet18/digits/w0.5-d1-s1",
        "resnet18/colours/w0.5-d1-r64-s1",
        "resnet18/digits/w1-d3-s1",
        "resnet18/colours/w1-d3-r64-s1",
    ]
    assert all(axis.sources == (axis.target,) for axis in axes)
    assert study.tables[-1] == "datasets"


def test_settings_of_a_search_come_from_data_set_study_and_row(data):
    study = parse_transfer_study(data)
    searches = study.searches()
    name, settings = study.search_settings(searches["resnet18/digits/w1-d1-s1/dmcp/seed0"])
    assert (name, settings) == ("dmcp", {"augment": "none", "num_epochs": 5, "batch_size": 20})
    name, settings = study.search_settings(searches["resnet18/digits/w1-d1-s1/folded/seed0"])
    assert (name, settings) == ("dmcp", {"augment": "none", "num_epochs": 3, "batch_size": 20, "folds": 2})
    assert [study.label(row) for row in ("uniform", "dmcp", "folded")] == ["uniform", "DMCP", "DMCP, 2 folds"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["search"], {"float32", "bfloat16"}),
        (["optimizers", "folded", "settings"], {"float32", "bfloat16"}),
        (["train"], {"bfloat16"}),
    ],
)
def test_precisions_are_those_of_searches_and_retrainings(data, path, expected):
    assert parse_transfer_study(data).precisions() == {"float32"}
    place = data["transfer"]
    for key in path:
        place = place[key]
    place["precision"] = "bfloat16"
    assert parse_transfer_study(data).precisions() == expected


def test_a_retraining_is_a_plain_network_of_given_channels(data):
    study = parse_transfer_study(data)
    cell = study.retrainings()["resnet18/digits/w1-d2-s1/uniform/seed1"]
    run = study.run_config(cell, {"stage1": 7})
    assert (run.counts, run.depth_mult, run.model_settings.stem, run.seed) == ({"stage1": 7}, 2, "large", 1)
    assert (run.method_settings.layer, run.method_settings.norm, run.widths) == ("sliced", "shared", [1.0])


def test_other_studies_runs_depend_on_nothing_new(make_run):
    """What a run of an any-width study depends on, and so its results, did not change with the new fields."""
    run = make_run("awn")
    assert {"counts", "depth_mult"}.isdisjoint(run.training_settings())
    assert RunConfig.model_validate(run.training_settings() | {"method_settings": run.method_settings}) == run
    assert run.model_copy(update={"depth_mult": 2}).training_settings()["depth_mult"] == 2


def test_a_study_survives_its_own_yaml(data, tmp_path):
    study = parse_transfer_study(data)
    path = tmp_path / "study.yaml"
    path.write_text(study_yaml(study))
    assert load_transfer_study(path) == study


@pytest.mark.parametrize(
    ("configuration", "title"),
    [
        ({}, "1x wide, 1x deep"),
        ({"width_mult": 0.312, "image_size": 64, "data_share": 0.05}, "0.312x wide, 1x deep, 64 px, 5 % of the images"),
        ({"depth_mult": 4, "data_share": 0.5}, "1x wide, 4x deep, 50 % of the images"),
    ],
)
def test_titles_of_configurations(configuration, title):
    assert configuration_title(Configuration(**configuration).name) == title


def test_the_studies_of_the_repository_are_valid(repository):
    paths = sorted((repository / "configs").glob("width_transfer_*.yaml"))
    assert len(paths) == 2
    studies = {path.stem: load_transfer_study(path) for path in paths}
    studies["null_control"] = load_transfer_study(repository / "configs/null_control.yaml")
    studies["width_transfer_imagenet"] = load_transfer_study(PAPER)
    for name, study in studies.items():
        assert study.study == name
        check_networks(study)
        searched = "dmcp" in study.transfer.optimizers and name != "width_transfer_imagenet"
        assert (study.null_control("dmcp") == "dmcp_null") == searched


def test_the_paper_s_study_has_its_sources():
    """Width Transfer, sections 4.1 to 4.5 and appendix A."""
    study = load_transfer_study(PAPER)
    axes = {axis.name: axis for axis in study.axes()}
    found = {
        key: sorted(getattr(task.configuration, field) for task in axes[key].sources)
        for key, field in [
            ("width_resnet18", "width_mult"),
            ("depth_mobilenet_v2", "depth_mult"),
            ("resolution_resnet18", "image_size"),
            ("data_mobilenet_v2", "data_share"),
        ]
    }
    assert found == {
        "width_resnet18": [0.312, 0.5, 0.707, 1, 1.414, 1.732],
        "depth_mobilenet_v2": [1, 2, 3, 4],
        "resolution_resnet18": [64, 160, 224, 320],
        "data_mobilenet_v2": [0.05, 0.1, 0.2, 0.5, 1.0],
    }
    compound = [tuple(dict(task.configuration).values()) for task in axes["compound_resnet18"].sources]
    assert compound == [(1.414, 2, 320, 1.0), (0.312, 1, 64, 0.05), (0.707, 1, 160, 0.1), (1.0, 1, 224, 0.5)]
    train = study.transfer.train
    assert (train.num_epochs, train.batch_size, train.lr, train.momentum) == (100, 1024, 0.2 * 1024 / 256, 0.9)
    assert train.nesterov
    assert len(study.seeds) == 3
    for search in study.searches().values():
        assert study.search_settings(search)[1]["num_epochs"] == 40


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("seeds", [1, 1], "seeds must be different and not negative"),
        ("transfer.axes", {}, "ask for at least one of axes"),
        ("transfer.axes.width.models", "resnet18", "did you mean 'model'?"),
        (
            "transfer.axes.width.model",
            "resnet81",
            "transfer.axes.width.model: unknown name 'resnet81' (allowed: lenet_",
        ),
        ("transfer.axes.width.dataset", "digit", "unknown name 'digit' (allowed: colours, digits)"),
        ("transfer.axes.width.optimizers", ["amc"], "unknown name 'amc' (allowed: dmcp, folded)"),
        ("transfer.axes.width.optimizers", ["dmcp", "dmcp"], "'dmcp' is named twice"),
        ("transfer.axes.width.sources", [{"width_mult": 0.5}] * 2, "the same source twice"),
        ("transfer.axes.width.sources", [{}], "or the target itself"),
        ("transfer.axes.width.sources", [{"data_share": 0.5}], "differs from the target in data_share"),
        ("transfer.axes.width.sources.0", {"width_mult": -1.0}, "greater than 0"),
        ("transfer.axes.depth.sources", [{"depth_mult": 3}], "w1-d3-s1 is deeper than the target (depth_mult 2)"),
        ("transfer.axes.depth.stackings", ["first_block"], "transfer.axes.depth.stackings.0"),
        ("transfer.optimizers.amc", {}, "unknown name 'amc' (allowed: morphnet, autoslim, dmcp)"),
        ("transfer.optimizers.uniform", {"optimizer": "dmcp"}, "is the baseline of every axis"),
        (
            "transfer.optimizers.dmcp.settings",
            {"offsets": 1},
            "transfer.optimizers.dmcp, with transfer.search: dmcp.offs",
        ),
        ("transfer.search", {"num_epochs": 0}, "num_epochs"),
        ("transfer.search.batch_size", 401, "more than the 400 images that data_share 1 leaves of the 400 of digits"),
        ("transfer.optimizers.dmcp.settings", {"batch_size": 250, "folds": 2}, "more than the 200 images"),
        (
            "transfer.optimizers.autoslim",
            {"settings": {"batch_size": 350}},
            "more than the 320 images that data_share 1 and",
        ),
        (
            "transfer.optimizers.autoslim",
            {"settings": {"augment": "randaugment"}},
            "autoslim: augment 'randaugment' with str",
        ),
        (
            "transfer.optimizers.spare",
            {"optimizer": "dmcp", "settings": {"lrr": 1}},
            "spare, with transfer.search: dmcp",
        ),
        ("transfer.train.batch_size", 401, "transfer.train.batch_size 401 is more than the 400 training images"),
        ("transfer.axes.Width", STUDY["transfer"]["axes"]["width"], "becomes a folder name"),
    ],
)
def test_wrong_studies_are_refused_by_name(data, path, value, words):
    with pytest.raises(ConfigError) as error:
        parse_transfer_study(changed(data, path, value))
    assert words in str(error.value)


def test_a_share_without_a_batch_of_images_is_refused(data):
    axis = {**data["transfer"]["axes"]["width"], "kind": "data", "sources": [{"data_share": 0.04}]}
    data["transfer"]["axes"]["data"] = axis
    with pytest.raises(ConfigError, match=r"more than the 16 images that data_share 0\.04 leaves of the 400"):
        parse_transfer_study(data)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "lenet_3c1l"}, "lenet_3c1l has no blocks to repeat: depth_mult must be 1, found 2"),
        (
            {"model": "lenet_3c1l", "kind": "resolution", "target": {}, "sources": [{"image_size": 12}]},
            "w1-d1-r12-s1: lenet_3c1l needs images of at least 16 pixels",
        ),
    ],
)
def test_networks_that_cannot_be_built_are_refused(data, changes, words):
    data["transfer"]["axes"]["depth"] |= changes
    with pytest.raises(ConfigError) as error:
        check_networks(parse_transfer_study(data))
    assert f"transfer.axes.depth: {words}" in str(error.value) or words in str(error.value)


def test_networks_that_can_be_built_pass(data):
    check_networks(parse_transfer_study(yaml.safe_load(study_yaml(parse_transfer_study(data)))))


def test_tables_and_figures_depend_on_what_networks_and_data_sets_are_called(data):
    """Their names are in the tables, but readers see titles."""
    study = parse_transfer_study(yaml.safe_load(yaml.safe_dump(data).replace("digits", "mnist5k")))
    titles = {"resnet18": "ResNet18", "mnist5k": "MNIST-5k"}
    assert titles.items() <= study.tabled()["titles"].items()
    assert titles.items() <= study.exhibit("width_transfer.figure3").shown()["titles"].items()
