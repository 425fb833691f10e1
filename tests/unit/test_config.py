"""A study's configuration: the paper's numbers by default, and messages that name the key and what is allowed."""

import math
import re

import pytest

from awnlib.settings import ConfigError, parse, read_yaml
from awnlib.studies.kinds import load_any_study
from awnlib.studies.widths.config import load_study, parse_study
from awnlib.training.run import RunConfig, TrackConfig, TrainConfig

PANEL = {"model": "lenet_3c1l", "dataset": "shapes"}


def problems(data):
    with pytest.raises(ConfigError) as caught:
        parse_study(data)
    return caught.value.problems


TABLE2 = "any_width_networks.table2"


def put(data, path, value):
    """Set `data["a"]["b"]` for the path `a.b`."""
    *parents, last = path.split(".")
    for key in [TABLE2 if key == "table2" else key for key in parents]:
        data = data.setdefault(key, {}) if isinstance(data, dict) else data[int(key)]
    data[last] = value


def test_defaults_are_those_of_the_paper(study_data):
    """Any-Width Networks, section 5.1: LeNet-3C1L, 20 epochs, batches of 128, lr 0.01, momentum 0.9, no decay."""
    study = parse_study(study_data)
    train = study.train
    assert (train.num_epochs, train.batch_size, train.lr, train.momentum) == (20, 128, 0.01, 0.9)
    assert (train.weight_decay, train.nesterov) == (0.0, False)
    assert (train.schedule, train.milestones, train.gamma) == ("multistep", [0.5, 0.75], 0.1)
    assert study.widths == [1.0, 0.75, 0.5, 0.25]
    assert study.recalibration.averaging == "exact"
    assert (train.precision, train.compile) == ("float32", False)


def test_the_studies_of_the_repository_are_valid(repository):
    paths = [repository / "config.yaml", *(repository / "configs").glob("*.yaml")]
    paths = [path for path in paths if "transfer" not in read_yaml(path)]  # studies of another kind
    assert len({load_study(path).study for path in paths}) == len(paths) >= 2


def test_defaults_are_not_shared_between_studies(study_data):
    first, second = parse_study(study_data), parse_study(study_data)
    assert first.train.milestones is not second.train.milestones
    assert first.widths is not second.widths


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("sedes", [0], ["did you mean 'seeds'?", "allowed: "]),
        ("train.learning_rate", 0.1, ["unknown key", "allowed: batch_size, compile, epsilon, gamma,"]),
        ("train.lr", "1e-3", ["found '1e-3' (str)", "such as 1.0e-3"]),
        ("train.lr", 0, ["greater than 0", "found 0"]),
        ("train.lr", math.inf, ["inf"]),
        ("train.lr", math.nan, ["nan"]),
        ("train.weight_decay", math.inf, ["inf"]),
        ("train.num_epochs", 2.5, ["valid integer", "found 2.5 (float)"]),
        ("train.num_epochs", 0, ["greater than or equal to 1"]),
        ("train.batch_size", 1, ["greater than or equal to 2"]),
        ("train.momentum", 1.0, ["less than 1"]),
        ("train.schedule", "step", ["'multistep', 'linear', 'cosine' or 'constant'", "found 'step'"]),
        ("train.milestones", [0.75, 0.5], ["must rise within (0, 1)", "[0.75, 0.5]"]),
        ("train.milestones", [0.5, 1.0], ["must rise within (0, 1)"]),
        ("train.milestones", [10, 15], ["must rise within (0, 1)"]),
        ("train.label_smoothing", 1.0, ["less than 1"]),
        ("train", {"warmup_epochs": 20}, ["warmup_epochs must be less than num_epochs (20), found 20"]),
        (
            "train",
            {"num_processes": 3},
            ["must divide batch_size (128) into equal shares of 2 images or more, found 3"],
        ),
        ("train.num_workers", -1, ["greater than or equal to 0"]),
        ("train.precision", "float16", ["'float32' or 'bfloat16'"]),
        ("train.compile", "yes", ["valid boolean"]),
        ("train", {"nesterov": True, "momentum": 0.0}, ["nesterov needs a momentum above 0"]),
        ("train.optimizer", "lamb", ["'sgd' or 'adam'", "found 'lamb'"]),
        ("train", {"nesterov": True, "optimizer": "adam"}, ["nesterov is an option of optimizer 'sgd'"]),
        ("seeds", [0, 1, 0], ["different", "[0, 1, 0]"]),
        ("seeds", [-1], ["not negative"]),
        ("seeds", [], ["at least 1 item"]),
        ("seeds", 3, ["valid list", "found 3 (int)"]),
        ("seeds.0", None, ["valid list"]),
        ("device", "gpu", ["'auto', 'cpu' or 'cuda'"]),
        ("study", "My Study", ["pattern"]),
        ("study", "../up", ["pattern"]),
        ("study", "a/b", ["pattern"]),
        ("datasets", {}, ["datasets: the task 'classification' needs a data set"]),
        ("datasets.shapes.source", "imagenet", ["unknown source 'imagenet'", "mnist5k", "cifar10"]),
        ("datasets.shapes.imagesize", 32, ["did you mean 'image_size'?"]),
        ("datasets.shapes.image_size", 7, ["greater than or equal to 8"]),
        ("datasets.shapes", {"source": "mnist5k", "path": "somewhere"}, ["comes with a package"]),
        ("datasets.shapes", {"source": "parquet"}, ["'parquet' needs a path"]),
        ("datasets.shapes", {"source": "image_folder", "path": "a", "download": True}, ["cannot be downloaded"]),
        ("datasets.shapes", {"source": "mnist5k", "stream": True}, ["stream needs source 'image_folder'"]),
        ("recalibration.num_images", 1, ["greater than or equal to 2"]),
        ("recalibration.averaging", "mean", ["'exact' or 'moving'"]),
        ("sweep.batch_size", 0, ["greater than or equal to 1"]),
        ("track.num_points", 0, ["greater than or equal to 1"]),
        ("models.lenet_3c1l", {"divisor": 0}, ["greater than or equal to 1"]),
        ("exhibits.table2.methods", [], ["at least 1 item"]),
        ("exhibits.table2.panels", [], ["at least 1 item"]),
    ],
)
def test_wrong_value_is_named_with_its_key_and_what_is_allowed(study_data, path, value, words):
    if path == "seeds.0":
        study_data["seeds"] = None
    else:
        put(study_data, path, value)
    text = "\n".join(problems(study_data))
    assert text.startswith(path.removesuffix(".0").replace("table2", TABLE2))
    assert [word for word in words if word not in text] == []


WRONG_WIDTHS = [
    [],
    [0.25, 0.5, 1.0],
    [1.0, 0.5, 0.5],
    [0.75, 0.5],
    [2.0, 1.0],
    [1.0, 0.0],
    [1.0, -0.5],
]


@pytest.mark.parametrize("widths", WRONG_WIDTHS)
def test_width_range_that_makes_no_sense(study_data, widths):
    study_data["widths"] = widths
    (problem,) = problems(study_data)
    assert problem.startswith("widths: ")
    assert "1.0" in problem
    assert str(widths) in problem


def test_widths_are_numbers(study_data):
    study_data["widths"] = [1.0, math.nan]
    assert problems(study_data) == ["widths.1: input should be a finite number, found nan (float)"]


@pytest.mark.parametrize("widths", WRONG_WIDTHS)
def test_width_range_of_an_override_is_named_with_its_path(study_data, widths):
    study_data["overrides"] = [{"train": {"lr": 0.1}}, {"method": "awn", "widths": widths}]
    (problem,) = problems(study_data)
    assert problem.startswith("overrides.1.widths: ")


@pytest.mark.parametrize("method", ["awn_rs", "us_net"])
def test_one_width_is_no_range_to_sample_or_recalibrate(study_data, method):
    study_data["widths"] = [1.0]
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = [method]
    assert "widths" in "\n".join(problems(study_data))


def test_what_cannot_be_compiled_once_for_each_width_is_refused(study_data):
    study_data["widths"] = [1.0, 0.5]
    study_data["overrides"] = [{"method": "us_net", "train": {"compile": True}}]
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["awn", "us_net"]
    (problem,) = problems(study_data)
    assert problem.startswith("train.compile: us_net draws its widths")
    study_data["overrides"][0] = {"train": {"compile": True}}
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = [
        "awn_rs",
        "awn_all",
        "s_net",
        "i_net",
        "shared_bn",
    ]
    parse_study(study_data)


@pytest.mark.parametrize(
    ("path", "value", "where", "allowed"),
    [
        (
            "exhibits.table2.methods",
            ["anw"],
            f"exhibits.{TABLE2}.methods",
            "awn, awn_2w, awn_3w, awn_all, awn_plain_width",
        ),
        ("exhibits.table2.panels", [{**PANEL, "dataset": "shape"}], "exhibits.table2.panels", "shapes"),
        ("exhibits.table2.panels", [{**PANEL, "model": "lenet"}], "exhibits.table2.panels", "lenet_3c1l"),
        ("models", {"lenet": {}}, "models", "lenet_3c1l"),
        ("overrides", [{"method": "anw", "train": {}}], "overrides.0.method", "awn, awn_2w"),
        ("overrides", [{}, {"dataset": "x"}], "overrides.1.dataset", "shapes"),
        ("overrides", [{"model": "x"}], "overrides.0.model", "lenet_3c1l"),
        (
            "exhibits.table2.panels",
            [PANEL, {**PANEL, "paper_dataset": "fashion-mnist"}],
            "exhibits.table2.panels.1.paper_dataset",
            "cifar10, cifar100, fashion_mnist, mnist",
        ),
    ],
)
def test_unknown_names_are_shown_with_the_known_ones(study_data, path, value, where, allowed):
    put(study_data, path, value)
    (problem,) = problems(study_data)
    assert problem.startswith(where.replace("exhibits.table2", f"exhibits.{TABLE2}"))
    assert "unknown name" in problem
    assert allowed in problem.split("(allowed: ")[1]


def test_a_distance_that_the_task_does_not_have_is_refused(study_data, make_run, monkeypatch):
    study_data["methods"] = {"mine": {"base": "us_net", "label": "mine", "distance": "alpha_divergence"}}
    run = make_run("mine").model_dump()
    monkeypatch.setattr("awnlib.tasks.task_distances", lambda name: ("l1",))
    words = "no distance 'alpha_divergence' in the task 'classification' (allowed: null, l1)"
    assert problems(study_data) == [f"methods.mine.distance: {words}"]
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse(RunConfig, run)


@pytest.mark.parametrize(
    ("given", "smallest", "widths"),
    [
        (None, 0.25, None),
        ([1.0, 0.25, 0.5], 0.25, [0.25, 0.5, 1.0]),
        ([1.0, 0.25, 0.5], 0.35, [0.5, 1.0]),
        ({"start": 0.25, "stop": 1.0, "step": 0.25}, 0.25, [0.25, 0.5, 0.75, 1.0]),
        ({"start": 0.35, "stop": 0.95, "step": 0.3}, 0.35 + 1e-9, [0.35, 0.65, 0.95]),
        ({"start": 0.25, "stop": 1.0, "step": 0.025}, 0.9, [0.9, 0.925, 0.95, 0.975, 1.0]),
    ],
)
def test_sweeps_may_name_their_widths(study_data, given, smallest, widths):
    """US-Nets, figure 3: .25 : .025 : 1."""
    study_data["sweep"] = {"width_mults": given}
    study = parse_study(study_data)
    assert study.sweep.widths_from(smallest) == widths
    assert parse_study(study.model_dump()) == study


@pytest.mark.parametrize(
    ("sweep", "where", "words"),
    [
        ({"width_mults": []}, "sweep.width_mults", "one or more widths"),
        ({"width_mults": [0.5, 1.2]}, "sweep.width_mults", "above 0 and up to 1, found [0.5, 1.2]"),
        ({"width_mults": [0.0, 1.0]}, "sweep.width_mults", "above 0"),
        ({"width_mults": [0.5, 0.5]}, "sweep.width_mults", "different, by more than rounding"),
        ({"width_mults": ["0.5"]}, "sweep.width_mults.0", "valid number"),
        ({"width_mults": {"start": 0.2, "stop": 1.0, "step": 0.3}}, "sweep.width_mults", "step must divide the range"),
        ({"width_mults": {"start": 1.0, "stop": 0.2, "step": 0.2}}, "sweep.width_mults", "step must divide the range"),
        ({"width_mults": {"start": 0.2, "stop": 1.0}}, "sweep.width_mults", "step: is required"),
        ({"width_mults": {"start": 0.2, "stop": 1.0, "sdep": 0.2}}, "sweep.width_mults", "did you mean 'step'"),
        ({"width_mults": [0.5, 1.0], "most_widths": 5}, "sweep", "give one of the two"),
        ({"width_mults": [0.1, 0.2]}, "sweep.width_mults", "the networks of awn have none of them, from 0.25 to 1"),
    ],
)
def test_widths_of_sweeps_that_make_no_sense(study_data, sweep, where, words):
    study_data["sweep"] = sweep
    text = "\n".join(problems(study_data))
    assert text.startswith(f"{where}: ")
    assert words in text


def test_several_problems_are_reported_at_once(study_data):
    study_data |= {"seeds": [1, 1], "widths": [0.5], "colour": "red"}
    put(study_data, "train.lr", "1e-3")
    put(study_data, "train.nestrov", True)
    paths = {problem.split(":")[0] for problem in problems(study_data)}
    assert paths == {"seeds", "widths", "colour", "train.lr", "train.nestrov"}


def test_several_unknown_names_are_reported_at_once(study_data):
    put(study_data, "exhibits.table2.methods", ["anw", "snet"])
    study_data["exhibits"]["any_width_networks.figure5"] = {
        "panels": [{**PANEL, "dataset": "shape"}],
        "methods": ["usnet"],
    }
    study_data["overrides"] = [{"method": "xyz"}]
    text = "\n".join(problems(study_data))
    assert [name for name in ("anw", "snet", "usnet", "shape", "xyz") if f"'{name}'" not in text] == []


def test_several_wrong_methods_are_reported_at_once(study_data):
    study_data["methods"] = {"awn": {"layer": "square"}, "s_net": {"norm": "none"}}
    text = "\n".join(problems(study_data))
    assert "methods.awn.layer: " in text
    assert "methods.s_net.norm: " in text


def test_wrong_method_rows_are_found_even_if_no_exhibit_shows_them(study_data):
    study_data["methods"] = {"mine": {"base": "awn", "label": "mine", "norm": "recalibrated"}}
    (problem,) = problems(study_data)
    assert problem.startswith("methods.mine: norm 'recalibrated'")


def test_method_twice_in_one_exhibit(study_data):
    put(study_data, "exhibits.table2.methods", ["awn", "s_net", "awn"])
    assert problems(study_data) == ["exhibits.any_width_networks.table2.methods: 'awn' is named twice"]


def test_a_study_asks_for_something(study_data):
    study_data["exhibits"] = {}
    (problem,) = problems(study_data)
    assert problem.startswith("exhibits: dictionary should have at least 1 item")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("figure2", "exhibits.figure2: write any_width_networks.figure2"),
        ("table2", "exhibits.table2: write any_width_networks.table2 or us_nets.table2"),
        ("table5", "exhibits: unknown name 'table5' (allowed: any_width_networks.table1, "),
        ("width_transfer.figure3", "exhibits: unknown name 'width_transfer.figure3' (allowed: "),
    ],
)
def test_exhibits_are_named_in_full(study_data, name, told):
    """A short name would become ambiguous with another paper: it is told what to write."""
    study_data["exhibits"] = {name: study_data["exhibits"].popitem()[1]}
    (problem,) = problems(study_data)
    assert problem.startswith(told)


def test_an_old_study_is_told_what_to_write(study_data):
    shown = study_data.pop("exhibits").popitem()[1]
    study_data |= {"tables": {"table2": shown}, "figures": {"figure5": shown, "figure99": shown}}
    assert problems(study_data) == [
        "tables.table2: write it below `exhibits`, as any_width_networks.table2 or us_nets.table2",
        "figures.figure5: write it below `exhibits`, as any_width_networks.figure5 or us_nets.figure5",
        "figures.figure99: write it below `exhibits`, as a full name",
    ]


@pytest.mark.parametrize("name", ["My_Data", "a/b", "..", "a b", "", "a\n"])
def test_names_become_folders(study_data, name):
    study_data["datasets"][name] = {"source": "mnist5k"}
    (problem,) = problems(study_data)
    assert "becomes a folder name" in problem
    assert repr(name)[1:-1] in problem or name in problem


def test_method_names_become_folders_too(study_data):
    study_data["methods"] = {"My/Method": {"base": "awn", "label": "x"}}
    assert "'My/Method' becomes a folder name" in "\n".join(problems(study_data))


@pytest.mark.parametrize(
    ("train", "path", "words"),
    [
        ({"momentun": 0.5}, "overrides.0.train.momentun", "did you mean 'momentum'?"),
        ({"lr": "1e-3"}, "overrides.0.train.lr", "such as 1.0e-3"),
        ({"lr": -1.0}, "overrides.0.train.lr", "greater than 0"),
        ({"momentum": 0.0}, "overrides.0.train", "nesterov needs a momentum above 0"),
    ],
)
def test_wrong_overrides(study_data, train, path, words):
    study_data["train"] = {"nesterov": True}
    study_data["overrides"] = [{"method": "awn", "train": train}]
    (problem,) = problems(study_data)
    assert problem.startswith(f"{path}: ")
    assert words in problem


def test_override_with_an_unknown_key(study_data):
    study_data["overrides"] = [{"methods": ["awn"], "train": {}}]
    (problem,) = problems(study_data)
    assert problem.startswith("overrides.0.methods: unknown key; did you mean 'method'?")


def test_overrides_that_are_wrong_together_are_found_before_any_job(study_data):
    study_data["overrides"] = [{"train": {"nesterov": True}}, {"method": "awn", "train": {"momentum": 0.0}}]
    assert "nesterov needs a momentum above 0" in "\n".join(problems(study_data))


@pytest.mark.parametrize(
    ("train", "overrides"),
    [
        ({"batch_size": 500}, []),
        ({}, [{"method": "awn", "train": {"batch_size": 500}}]),
        ({"batch_size": 500}, [{"method": "s_net", "train": {"batch_size": 100}}]),
    ],
)
def test_batches_larger_than_the_training_set(study_data, train, overrides):
    put(study_data, "datasets.shapes.train_size", 400)
    put(study_data, "exhibits.table2.methods", ["awn", "s_net", "awn_rs"])
    study_data |= {"train": train, "overrides": overrides}
    (problem,) = problems(study_data)
    assert problem.startswith("train.batch_size, with overrides: ")
    assert problem.endswith("must be at most datasets.shapes.train_size (400), found 500")


def test_a_task_without_data_holds_nothing_out(study_data, monkeypatch):
    monkeypatch.setattr("awnlib.studies.widths.config.needs_data", lambda name: False)
    study_data |= {"datasets": {}, "train": {"held_out": 0.2}}
    assert problems(study_data) == ["train.held_out: the task 'classification' has no training images, found 0.2"]


def test_a_batch_is_at_most_what_is_not_held_out(study_data):
    study_data["datasets"]["shapes"]["train_size"] = 400
    study_data["train"] = {"batch_size": 320, "held_out": 0.2}
    parse_study(study_data)
    study_data["train"]["held_out"] = 0.21
    (problem,) = problems(study_data)
    assert problem.endswith("train_size (400), without the 84 held out, found 320")


def test_a_batch_may_be_the_whole_training_set(study_data):
    put(study_data, "datasets.shapes.train_size", 400)
    study_data |= {"train": {"batch_size": 500}, "overrides": [{"train": {"batch_size": 400}}]}
    assert parse_study(study_data).overrides


@pytest.mark.parametrize(
    ("path", "value", "asks"),
    [
        ("seeds", [1], False),
        ("track", {"layer": "norm1"}, True),
        ("datasets.shapes.image_size", 12, True),
        ("datasets.other", {"source": "mnist5k", "image_size": 12}, False),  # nothing shows it
        ("methods", {"awn": {"width_vector": {"conv1": 1.0}}}, True),
        ("methods", {"awn_rs": {"width_vector": {"conv1": 1.0}}}, False),
    ],
)
def test_which_studies_must_be_compared_with_their_networks(study_data, path, value, asks):
    put(study_data, path, value)
    assert parse_study(study_data).asks_of_networks is asks


def test_what_is_tracked_may_be_overridden(study_data):
    study_data["track"] = {"num_points": 5}
    study_data["overrides"] = [{"method": "awn", "track": {"gradients": 3}}, {"track": {"layer": "norm1"}}]
    study = parse_study(study_data)
    cell = {"model": "lenet_3c1l", "dataset": "shapes"}
    assert study.track_settings(**cell, method="awn") == TrackConfig(num_points=5, gradients=3, layer="norm1")
    assert study.track_settings(**cell, method="s_net") == TrackConfig(num_points=5, layer="norm1")
    assert study.on_demand == ["gradients"]
    assert study.asks_of_networks


@pytest.mark.parametrize(("key", "value"), [("num_points", 0), ("gradients", -1), ("layers", "norm1")])
def test_an_override_of_what_is_tracked_is_checked(study_data, key, value):
    study_data["overrides"] = [{"method": "s_net", "track": {key: value}}]
    (problem,) = problems(study_data)
    assert problem.startswith(f"overrides.0.track.{key}: ")


def test_gradients_that_are_shown_must_be_compared(study_data):
    panels = [{"model": "lenet_3c1l", "dataset": "shapes"}]
    study_data["exhibits"] = {"us_nets.gradients": {"panels": panels, "methods": ["awn", "us_net"]}}
    study_data["overrides"] = [{"method": "awn", "track": {"gradients": 3}}]
    assert problems(study_data) == [
        "track.gradients, with overrides: must be above 0 for us_net, lenet_3c1l on shapes: an exhibit shows it"
    ]
    study_data["track"] = {"gradients": 1}
    assert parse_study(study_data).on_demand == ["gradients"]


def test_later_overrides_win_and_only_where_they_match(study_data):
    study_data["datasets"]["other"] = {"source": "mnist5k"}
    study_data["train"] = {"lr": 0.1, "num_epochs": 3}
    study_data["overrides"] = [
        {"method": "awn", "train": {"lr": 0.2, "weight_decay": 0.5}},
        {"train": {"lr": 0.3}},
        {"method": "awn", "dataset": "other", "train": {"lr": 0.4}, "widths": [1.0, 0.5]},
        {"model": "lenet_3c1l", "widths": [1.0, 0.1], "dataset": "shapes"},
    ]
    study = parse_study(study_data)

    def cell(method, dataset):
        names = {"model": "lenet_3c1l", "dataset": dataset, "method": method}
        train = study.train_settings(**names)
        return train.lr, train.weight_decay, train.num_epochs, study.width_settings(**names)

    assert cell("awn", "shapes") == (0.3, 0.5, 3, [1.0, 0.1])
    assert cell("awn", "other") == (0.4, 0.5, 3, [1.0, 0.5])
    assert cell("s_net", "shapes") == (0.3, 0.0, 3, [1.0, 0.1])
    assert cell("s_net", "other") == (0.3, 0.0, 3, [1.0, 0.75, 0.5, 0.25])
    assert study.train == TrainConfig(lr=0.1, num_epochs=3)


def test_file_is_named_in_the_message(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("study: a\nseeds: [0]\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml cannot be used:\n  - exhibits: is required"):
        load_study(path)


ONLY = [
    ("table2", {"table2": ["digits", "clothes"]}),
    ("any_width_networks.table2", {"table2": ["digits", "clothes"]}),
    (["figure5", "table2"], {"table2": ["digits", "clothes"], "figure5": ["digits"]}),
    (["clothes"], {"table2": ["clothes"]}),
    (["lenet_3c1l", "digits"], {"table2": ["digits"], "figure5": ["digits"]}),
    (["figure5", "table2", "clothes"], {"table2": ["clothes"]}),
    ([], {"table2": ["digits", "clothes"], "figure5": ["digits"]}),
]


def two_panels(study_data):
    study_data["datasets"] |= {"digits": {"source": "mnist5k"}, "clothes": {"source": "fashion_mnist"}}
    panels = [{"model": "lenet_3c1l", "dataset": name} for name in ("digits", "clothes")]
    study_data["exhibits"] = {"any_width_networks.table2": {"panels": panels, "methods": ["awn"]}}
    study_data["exhibits"]["any_width_networks.figure5"] = {"panels": panels[:1], "methods": ["s_net"]}
    return study_data


@pytest.mark.parametrize(("only", "left"), ONLY)
def test_only_some_exhibits_and_panels(study_data, only, left):
    study = parse_study({**two_panels(study_data), "only": only})
    found = {name: [panel.dataset for panel in shown.panels] for name, shown in study.exhibits.items()}
    assert found == {f"any_width_networks.{name}": panels for name, panels in left.items()}
    assert parse_study(study.model_dump()) == study


@pytest.mark.parametrize(
    ("only", "words"),
    [
        (
            ["tabel2"],
            "only: unknown name 'tabel2' (allowed: any_width_networks.figure5, any_width_networks.table2, clothes, ",
        ),
        (["figure5", "clothes"], "only: nothing in this study has figure5 and clothes"),
        ("mobilenet_v2", "only: nothing in this study has mobilenet_v2"),
        (["table2", "mobilenet_v2"], "only: nothing in this study has table2 and mobilenet_v2"),
        ("shapes", "only: nothing in this study has shapes"),
        (["table2", "table2"], "only: 'any_width_networks.table2' is named twice"),
        (3, "only: input should be a valid list, found 3 (int)"),
    ],
)
def test_wrong_names_in_only(study_data, only, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse_study({**two_panels(study_data), "only": only})


def test_every_study_of_the_repository_is_valid_and_named_like_its_file(repository):
    paths = sorted((repository / "configs").glob("*.yaml"))
    assert len(paths) > 5
    assert [load_any_study(path).study for path in paths] == [path.stem for path in paths]
