"""What a study asks of its networks, found wrong before any job starts."""

import pytest

from awnlib.settings import ConfigError
from awnlib.studies.widths.checks import check_networks
from awnlib.studies.widths.config import load_study, parse_study

LENET = ["conv1", "conv2", "conv3"]


def vector(*names):
    return {"mine": {"base": "awn", "label": "mine", "width_vector": dict.fromkeys(names, 1.0)}}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"datasets": {"shapes": {"source": "mnist5k", "image_size": 12}}},
            "datasets.shapes with lenet_3c1l: lenet_3c1l needs images of at least 16 pixels, found 12",
        ),
        (
            {"track": {"layer": "norm9"}},
            "track.layer: no norm layer 'norm9' (the model has: norm1, norm2, norm3)",
        ),
        (
            {"methods": vector("conv1", "conv2", "conv9")},
            "methods.mine: width_vector must name the dimensions of lenet_3c1l (conv1, conv2, conv3), "
            "found conv1, conv2, conv9",
        ),
        (
            {"methods": vector("conv1")},
            "methods.mine: width_vector must name the dimensions of lenet_3c1l (conv1, conv2, conv3), found conv1",
        ),
    ],
)
def test_what_a_network_does_not_have_is_named_once(study_data, change, problem):
    study_data |= change
    study_data["seeds"] = [0, 1]
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = ["s_net", "us_net", *change.get("methods", [])]
    study = parse_study(study_data)
    with pytest.raises(ConfigError, match=r"^mine\.yaml cannot be used:\n") as caught:
        check_networks(study, origin="mine.yaml")
    assert caught.value.problems == [problem]


def test_every_problem_is_reported_at_once(study_data):
    study_data |= {"track": {"layer": "norm9"}, "methods": vector("conv9")}
    study_data["datasets"]["tiny"] = {"source": "mnist5k", "image_size": 8}
    panels = [{"model": "lenet_3c1l", "dataset": name} for name in ("shapes", "tiny")]
    study_data["exhibits"]["any_width_networks.table2"] = {"panels": panels, "methods": ["awn", "mine"]}
    with pytest.raises(ConfigError) as caught:
        check_networks(parse_study(study_data))
    starts = [problem.split(":")[0] for problem in caught.value.problems]
    assert starts == ["track.layer", "methods.mine", "datasets.tiny with lenet_3c1l"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"datasets": {"shapes": {"source": "mnist5k", "image_size": 16}}},
        {"track": {"layer": "norm1"}},
        {"methods": vector(*LENET)},
    ],
)
def test_networks_that_fit(study_data, change):
    study_data |= change
    study_data["exhibits"]["any_width_networks.table2"]["methods"] = [
        "awn",
        "i_net",
        "us_net",
        *change.get("methods", []),
    ]
    check_networks(parse_study(study_data))


def test_studies_of_the_repository_fit(repository):
    check_networks(load_study(repository / "configs/awn_on_transferred_widths.yaml"))
