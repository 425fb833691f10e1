"""The task: patches, losses and scores by hand; images in tiles; what is refused."""

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from awnlib.data import ImagePair
from awnlib.layers import SlimmableConv2d
from awnlib.models import create_model
from awnlib.settings import ConfigError
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.checks import check_networks
from awnlib.studies.widths.config import parse_study
from awnlib.tasks import Distillation, Draw, create_task, task_settings
from awnlib.tasks._tiles import receptive_reach
from awnlib.training.engine import build_model
from tests.conftest import CONFIGS, STUDY, six_photographs
from tests.reference import float64

WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255


def task_of(data=None, **settings):
    chosen = task_settings("super_resolution", {"patch": 16, **settings})
    return create_task("super_resolution", chosen, data or six_photographs())


def study_of(**changes):
    data = copy.deepcopy(STUDY) | {"task": "super_resolution", "task_settings": {"patch": 16, "epoch_steps": 5}}
    data |= {"datasets": {"photographs": CONFIGS["photographs"]}, "widths": [1.0, 0.75, 0.5]}
    data |= {"models": {"wdsr": {"base_width_mult": 0.25, "options": {"num_blocks": 1}}}}
    data |= {"train": {"num_epochs": 1, "batch_size": 6}}
    panel = {"model": "wdsr", "dataset": "photographs", "test_set": "some"}
    data["exhibits"]["any_width_networks.table2"] = {"panels": [panel], "methods": ["awn"]}
    return parse_study(data | changes)


def begun(data=None, share=slice(None), settings=None, **changes):
    (run,) = runs(study_of(**changes))
    task = task_of(data, **(settings or {"epoch_steps": 5}))
    model = build_model(run, *task.network_shape()).train()
    task.begin(run, model, share=share)
    return task, model


def blocks_of_pixels():
    """Each pixel of a copy is two by two equal ones of its image: so are patches, however they are turned."""
    generator = torch.Generator().manual_seed(0)
    pairs = []
    for number, (height, width) in enumerate([(20, 17), (16, 31)]):
        low = torch.randint(256, (3, height, width), dtype=torch.uint8, generator=generator)
        pairs.append(ImagePair(str(number), low.repeat_interleave(2, 1).repeat_interleave(2, 2), low))
    return replace(six_photographs(), train=pairs, mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


# --- training --------------------------------------------------------------------------------------------------------


def test_patches_of_both_sizes_show_the_same_place():
    data = blocks_of_pixels()
    task, _ = begun(data)
    seen = set()
    for low, high in task.training_batches(range(40)):
        assert low.shape == (6, 3, 16, 16)
        assert torch.equal(high, low.repeat_interleave(2, 2).repeat_interleave(2, 3))
        pixels = task.pixels(low).to(torch.uint8)
        for patch in pixels:
            seen |= {found for pair in enumerate(data.train) if (found := where(patch, *pair))}
    assert {image for image, *_ in seen} == {0, 1}
    assert len({turn for *_, turn in seen}) == 8
    places = {(top, left) for image, top, left, _ in seen if image == 0}
    assert places == {(top, left) for top in range(5) for left in range(2)}


def where(patch, number, pair):
    """The image, place and turn of a patch, by trying all."""
    windows = pair.low.unfold(1, 16, 1).unfold(2, 16, 1)  # [C, top, left, 16, 16]
    for turn in range(8):
        back = patch.transpose(1, 2) if turn & 4 else patch
        back = back.flip([axis for axis, bit in ((1, 1), (2, 2)) if turn & bit])
        hits = (windows == back[:, None, None]).all(dim=(0, 3, 4)).nonzero().tolist()
        if hits:
            return number, *hits[0], turn
    return None


def test_steps_follow_seed_and_number_alone_and_shares_add_up():
    task, _ = begun()
    steps = [low for low, _ in task.training_batches(range(4))]
    again = [low for low, _ in begun()[0].training_batches(range(2, 4))]
    assert all(map(torch.equal, steps[2:], again))
    assert not torch.equal(steps[0], steps[1])
    halves = [next(begun(share=part)[0].training_batches(range(1)))[0] for part in (slice(0, 3), slice(3, 6))]
    assert torch.equal(torch.cat(halves), steps[0])
    assert not torch.equal(steps[0], next(begun(seeds=[1])[0].training_batches(range(1)))[0])


def test_an_epoch_has_the_steps_asked_for():
    assert begun()[0].epoch_steps == 5


@pytest.mark.parametrize("loss", ["l1", "l2"])
@pytest.mark.parametrize("distance", [None, "l1", "l2"])
def test_losses_of_all_widths_by_hand(loss, distance):
    """The widest one's from the image, the others' from its output; the teacher gets no gradient from them."""
    task, model = begun(settings={"loss": loss, "epoch_steps": 5})
    low, high = next(task.training_batches(range(1)))
    widths = [1.0, 0.75, 0.5]
    outputs = []
    for width_mult in widths:
        model.set_width_mult(width_mult)
        outputs.append(model(low).detach())

    def error(one, other, kind):
        return ((one - other).abs() if kind == "l1" else (one - other) ** 2).mean()

    found = task.step(model, Draw(0, widths, distillation=Distillation(distance)))
    expected = [error(outputs[0], high, loss), *(error(one, outputs[0], distance or loss) for one in outputs[1:])]
    torch.testing.assert_close(found.losses, torch.stack(expected))
    plain = task.step(model, Draw(1, widths)).losses
    assert plain.shape == (3,)


# --- scores ----------------------------------------------------------------------------------------------------------


def psnr_by_hand(pixels, target, border, *, luminance):
    """From uint8 arrays [H, W, C]."""
    one, other = (array.astype(float) for array in (pixels, target))
    if luminance:
        one, other = one @ WEIGHTS, other @ WEIGHTS
    error = ((one - other)[border:-border, border:-border] ** 2).mean()
    return 10 * np.log10(255**2 / error)


def array(pixels):
    return pixels.permute(1, 2, 0).numpy()


def bicubic(pair):
    small = Image.fromarray(array(pair.low).squeeze())
    return np.asarray(small.resize((2 * small.width, 2 * small.height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(("measured_on", "border"), [("luminance", 2), ("rgb", 8)])
def test_scores_of_the_bicubic_enlargement_by_hand(measured_on, border):
    task, model = begun(settings={"measured_on": measured_on, "patch": 16})
    colour, grey = task.pairs.tests["some"]
    rows = task.evaluate_images(model.eval(), [1.0, 0.5])
    found = {(row["image"], row["metric"], row["width_mult"]): row["baseline"] for row in rows}
    assert len(found) == len(rows) == 2 * 2 * 2
    on_luminance = measured_on == "luminance"
    expected = psnr_by_hand(bicubic(colour), array(colour.high), border, luminance=on_luminance)
    assert found["p4", "psnr_db", 1.0] == pytest.approx(expected, abs=1e-9)
    # An image that is stored in grey is compared as it is, without the scale of luminance.
    expected = psnr_by_hand(bicubic(grey)[:, :, None], array(grey.high), border, luminance=False)
    assert found["p5", "psnr_db", 0.5] == pytest.approx(expected, abs=1e-9)


def test_scores_of_a_network_are_means_over_rounded_images():
    task, model = begun()
    model.eval()
    rows = task.evaluate(model, [1.0, 0.5])
    single = task.evaluate_images(model, [1.0, 0.5])
    for row in rows:
        same = [one["score"] for one in single if all(one[key] == row[key] for key in ("width_mult", "metric"))]
        assert (row["test_set"], row["num_images"], len(same)) == ("some", 2, 2)
        assert row["score"] == pytest.approx(sum(same) / 2, rel=1e-9)
    model.set_width_mult(0.5)
    colour = task.pairs.tests["some"][0]
    with torch.no_grad():
        output = model(((colour.low[None] / 255) - 0.5) / 0.25)[0]
    pixels = ((output * 0.25 + 0.5) * 255).round().clamp(0, 255).permute(1, 2, 0).numpy()
    expected = psnr_by_hand(pixels, array(colour.high), 2, luminance=True)
    found = next(one for one in single if one["image"] == "p4" and one["width_mult"] == 0.5)
    assert found["score"] == pytest.approx(expected, abs=1e-6)


def test_a_network_that_adds_nothing_to_the_fixed_skip_is_bicubic():
    """But for the rounding between PIL's two passes, rows and columns, which moves some pixels by one."""
    models = {"wdsr": {"base_width_mult": 0.25, "options": {"num_blocks": 1, "skip": "bicubic"}}}
    task, model = begun(models=models)
    pair = task.pairs.tests["some"][0]
    with torch.no_grad():
        model.last.tail.parametrizations.weight.original0.zero_()
        found = task.pixels(model(task.normalised(pair.low[None])))[0]
    moved = np.abs(array(found) - bicubic(pair).astype(float))[4:-4, 4:-4]
    assert moved.max() <= 1
    assert moved.mean() < 0.3


def test_pictures_are_the_parts_asked_for():
    task, model = begun(settings={"crops": {"some/p4": [6, 10, 24]}})
    rows = task.evaluate_images(model.eval(), [1.0, 0.5])
    assert {row["image"] for row in rows if row["picture"]} == {"p4"}
    row = next(row for row in rows if row["picture"] and row["width_mult"] == 0.5)
    pair = task.pairs.tests["some"][0]
    before, target = (np.asarray(Image.open(io.BytesIO(row[name]))) for name in ("picture_before", "picture_target"))
    assert np.array_equal(target, array(pair.high)[10:34, 6:30])
    assert np.array_equal(before, bicubic(pair)[10:34, 6:30])
    assert Image.open(io.BytesIO(row["picture"])).size == (24, 24)


# --- tiles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [16, 21, 40, 64])
@pytest.mark.parametrize(
    "options", [{"layer": "sliced"}, {}, {"options": {"num_blocks": 2, "skip": "bicubic"}}], ids=str
)
def test_tiles_give_what_the_whole_image_gives(tile, options):
    with float64():
        torch.manual_seed(0)
        own = {"options": {"num_blocks": 2}, "base_width_mult": 0.125, "input_shape": (3, 16, 16), "num_classes": 12}
        model = create_model("wdsr", **own | options).eval()
        assert receptive_reach(model) == 1 + 2 * 2 + 1 + 2
        images, widths = torch.randn(1, 3, 45, 38), [0.5, 0.75, 1.0]
        with torch.no_grad():
            whole, tiled = (
                torch.cat([outputs for _, outputs in task.outputs_of_widths(model, images, widths)])
                for task in (task_of(), task_of(tile=tile))
            )
    assert whole.shape == (3, 1, 3, 90, 76)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-12)


def test_a_tile_is_computed_alone(monkeypatch):
    """What a network is given is never larger than a tile and what its outputs depend on."""
    task, model = task_of(tile=16), begun()[1].eval()
    largest, forward = [], SlimmableConv2d.forward
    monkeypatch.setattr(SlimmableConv2d, "forward", lambda self, x: largest.append(x.shape[-1]) or forward(self, x))
    task.evaluate(model, [1.0])
    assert max(largest) <= 16 + 2 * receptive_reach(model) < 44


# --- what is refused -------------------------------------------------------------------------------------------------


def test_settings_that_do_not_fit_the_images_are_refused_before_training():
    with pytest.raises(ValueError, match=r"patch: 40 pixels do not fit into the training image p0, .* has 44 x 32"):
        begun(settings={"patch": 40})
    with pytest.raises(ValueError, match=r"crops: no test image is called some/nobody \(test sets: some\)"):
        begun(settings={"crops": {"some/nobody": [0, 0, 9]}})
    task, model = begun(settings={"crops": {"some/p4": [70, 0, 24]}})
    with pytest.raises(ValueError, match=r"crops.some/p4: 24 pixels from 70, 0 are not within 88 x 72"):
        task.evaluate_images(model, [1.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "l3"}, "task_settings.loss: .*'l1' or 'l2'"),
        ({"crops": {"a/b": [1, 2]}}, r"crops are \[left, top, side\]"),
        ({"crops": {"a/b": [1, 2, 4]}}, "with a side of 8 or more"),
        ({"crops": {"b": [1, 2, 9]}}, "named <test set>/<image>, found b"),
        ({"tile": 8}, "task_settings.tile: .*greater than or equal to 16"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        task_settings("super_resolution", settings)


def test_a_study_has_the_images_that_its_task_needs():
    labels = {"digits": {"source": "mnist5k"}}
    with pytest.raises(ConfigError, match="the task 'super_resolution' needs source 'photographs'"):
        study_of(datasets=labels)
    with pytest.raises(ConfigError, match="the task 'classification' needs images with labels, not 'photographs'"):
        study_of(task="classification", task_settings={})


def test_images_without_labels_are_not_held_out_but_may_be_fewer_than_a_batch():
    with pytest.raises(ConfigError, match=r"train\.held_out: .* has no labels to hold images out by, found 0\.1"):
        study_of(train={"batch_size": 6, "held_out": 0.1})
    few = {"photographs": CONFIGS["photographs"] | {"train_size": 2}}
    assert study_of(datasets=few).train.batch_size == 6


def test_a_panel_shows_a_test_set_that_there_is():
    panel = {"model": "wdsr", "dataset": "photographs"}
    exhibits = {"any_width_networks.table2": {"panels": [panel], "methods": ["awn"]}}
    with pytest.raises(ConfigError, match=r"panels\.0\.test_set: unknown name 'test' \(allowed: some\)"):
        study_of(exhibits=exhibits)


def test_options_of_the_model_are_checked_before_any_job():
    check_networks(study_of())
    study = study_of(models={"wdsr": {"options": {"blocks": 3}}})
    assert study.asks_of_networks
    with pytest.raises(ConfigError, match=r"photographs with wdsr: .*\n.*options\.blocks: unknown key"):
        check_networks(study)
