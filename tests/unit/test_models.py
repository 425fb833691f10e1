"""What all models share: names, widths, width vectors, copies and files."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from awnlib import models
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.models import create_model, load_model, model_names, save_model
from tests.reference import small_lenet
from tests.unit.test_models_conform import check_distinct, counts

VECTOR = {"conv1": 0.4, "conv2": 1.0, "conv3": 0.5}
SWITCHABLE = {"layer": "sliced", "norm": "switchable", "affine": "shared"}


def active(model):
    return [channels.active for channels in model.channels.values()]


def images(num=4):
    return torch.randn(num, 1, 16, 16)


@pytest.mark.parametrize("layer", ["sliced", "triangular"])
def test_print_shows_the_width(layer):
    model = create_model("lenet_3c1l", layer=layer)
    full = repr(model)
    model.set_width_mult(0.25)
    lines = repr(model).splitlines()
    assert lines[1] == "  width_mult=0.25"
    for line in (
        "Conv2d(active 1, 8 of 1, 32, kernel_size=(3, 3)",
        "BatchNorm2d(active 8 of 32, eps=1e-05",
        "Linear(active 128, 10 of in_features=512, out_features=10",
    ):
        assert any(line in found for found in lines), line
    model.set_widths(VECTOR)
    assert f"  widths={VECTOR}" in repr(model)
    model.set_width_mult(1.0)
    assert repr(model) == full


def test_names():
    assert "lenet_3c1l" in model_names()
    assert all(not name.startswith("_") for name in model_names())


def test_classes_are_imported_on_first_use():
    assert isinstance(small_lenet(), models.SlimmableModel)
    assert isinstance(small_lenet().spec, models.ModelSpec)
    with pytest.raises(AttributeError, match=r"awnlib\.models has no attribute LeNet"):
        _ = models.LeNet


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "lenet"}, r"unknown model 'lenet' \(allowed: .*lenet_3c1l"),
        ({"layers": "sliced"}, r"layers: unknown key; did you mean 'layer'\?"),
        ({"layer": "square"}, "layer: .*'triangular' or 'sliced'"),
        ({"average_inputs": True}, "average_inputs is an option of sliced layers"),
        ({"norm": "layer"}, "norm: .*'shared' or 'switchable'"),
        ({"num_classes": 0}, "num_classes: .*greater than or equal to 1"),
        ({"base_width_mult": 0.0}, "base_width_mult: .*greater than 0"),
        ({"min_width_mult": 1.5}, "min_width_mult: .*less than or equal to 1"),
        ({"divisor": 0}, "divisor: .*greater than or equal to 1"),
        ({"channels": {"conv4": 8}}, r"lenet_3c1l has no channels conv4 \(it has: conv1, conv2, conv3\)"),
        ({"channels": {"conv1": -1}}, "found -1"),
        ({"channels": {"conv1": 0}}, "found 0"),
        ({"norm": "switchable", "switches": [0.1]}, r"\[0\.25, 1\], found 0\.1"),
        ({"norm": "switchable", "switches": []}, "one or more widths"),
        ({"norm": "switchable", "switches": {"conv1": 0.5}}, "conv1, conv2, conv3"),
    ],
)
def test_unknown_names_options_and_values_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        create_model(**{"name": "lenet_3c1l", **options})


def test_a_width_vector_sets_each_dimension():
    model = small_lenet(layer="sliced")
    model.set_widths(VECTOR)
    assert active(model) == [2, 8, 3]
    assert [tuple(layer.active_weight().shape[:2]) for layer in (model.conv1, model.conv2, model.conv3)] == [
        (2, 1),
        (8, 2),
        (3, 8),
    ]
    assert model(images()).shape == (4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv4": 0.5}, "a width vector names conv1, conv2, conv3, found conv1, conv2, conv3, conv4"),
        ({"conv3": 0.1}, r"width_mult must be in \[0\.25, 1\], found 0\.1"),
        ({"conv2": 1.2}, r"width_mult must be in \[0\.25, 1\], found 1\.2"),
    ],
)
def test_a_wrong_width_vector_changes_nothing(change, message):
    model = small_lenet()
    model.set_width_mult(0.7)
    before = active(model)
    with pytest.raises(ValueError, match=message):
        model.set_widths({**VECTOR, **change})
    with pytest.raises(ValueError, match=r"found conv1$"):
        model.set_widths({"conv1": 0.5})
    with pytest.raises(ValueError, match="found nothing"):
        model.set_widths({})
    assert active(model) == before


@pytest.mark.parametrize(
    "switches", [[0.5, 7.0], {"conv1": 0.5, "conv2": 0.5, "conv3": 7.0}, {"conv1": 0.5}], ids=["list", "value", "name"]
)
def test_wrong_switches_change_nothing(switches):
    model = small_lenet(**SWITCHABLE)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="width"):
        model.set_switches(switches)
    assert [norm.width_mults for _, norm in model.norms()] == [[0.25, 0.5, 0.75, 1.0]] * 3
    assert model.spec.switches == [1.0, 0.75, 0.5, 0.25]
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())


def test_models_without_replaceable_switches_say_so():
    with pytest.raises(ValueError, match="only a network whose norms are switchable has switches"):
        small_lenet().set_switches([0.5])
    with pytest.raises(ValueError, match="private scale and shift"):
        small_lenet(**{**SWITCHABLE, "affine": "private"}).set_switches([0.5])


@given(
    st.lists(st.integers(1, 40), min_size=3, max_size=3),
    st.integers(1, 8),
    st.sampled_from([0.1, 0.25, 0.35, 0.5, 1.0]),
)
@settings(deadline=None, max_examples=40)
def test_distinct_widths_of_random_networks(full, divisor, low):
    names = dict(zip(("conv1", "conv2", "conv3"), full, strict=True))
    check_distinct(small_lenet(channels=names, divisor=divisor, min_width_mult=low))


@pytest.mark.parametrize("full", [(7, 21, 7), (7, 35, 7), (11, 33, 11), (10, 30, 50)])
def test_distinct_widths_when_one_count_divides_another(full):
    """Both counts change at the same width, of which their roundings may be different floats."""
    check_distinct(small_lenet(channels=dict(zip(("conv1", "conv2", "conv3"), full, strict=True))))


def test_included_widths_represent_their_interval():
    model = create_model("lenet_3c1l")
    plain = model.distinct_width_mults()
    include = [0.25, 0.5, 0.751, 0.755, 1.0]
    widths = model.distinct_width_mults(include)
    check_distinct(model, include)
    assert set(widths) - set(plain) == {0.755, *{0.5} - set(plain)}
    assert {0.25, 0.5, 0.755, 1.0} < set(widths)
    assert [counts(model, w) for w in widths] == [counts(model, w) for w in plain]
    # the smallest width is never lost: 0.26 gives 8 of 32 channels as 0.25 does
    assert model.distinct_width_mults([0.25, 0.26, 0.99])[::24] == [0.25, 0.99]
    assert model.distinct_width_mults([0.26])[0] == 0.25
    assert model.distinct_width_mults([0.1]) == plain


def assert_same(model, loaded, widths, x):
    for width in widths:
        for one in (model.eval(), loaded):
            one.set_widths(width) if isinstance(width, dict) else one.set_width_mult(width)
        assert torch.equal(model(x), loaded(x))


@pytest.mark.parametrize("widths", [[0.3, 0.6, 1.0], VECTOR], ids=["list", "vector"])
def test_files_of_recalibrated_models(tmp_path, widths):
    model = small_lenet(**SWITCHABLE)
    recalibrate_bn(model, [images()], widths)
    save_model(tmp_path / "model.safetensors", model)
    loaded, _ = load_model(tmp_path / "model.safetensors")
    assert loaded.spec.switches == widths
    assert_same(model, loaded, [widths] if isinstance(widths, dict) else [0.25, *widths], images())
