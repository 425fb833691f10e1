"""The training engine against a slow loop written by hand, and against itself after interruptions."""

import copy
import dataclasses
import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from awnlib.data.splits import hold_out
from awnlib.jobs import checkpoint as checkpoint_module
from awnlib.jobs import hardware, resumable
from awnlib.jobs.checkpoint import CheckpointError, load_tensors
from awnlib.jobs.progress import Progress
from awnlib.jobs.records import DivergedError
from awnlib.model_cost import cost
from awnlib.models import create_model, save_model
from awnlib.seeding import rng
from awnlib.tasks import Supervised
from awnlib.training import engine as module
from awnlib.training.base_counts import with_base_counts
from awnlib.training.engine import build_model, create_optimizer, train
from awnlib.training.methods import load_methods
from awnlib.training.objectives import loss_weights, sample_widths
from awnlib.training.run import TrainConfig
from awnlib.training.schedule import learning_rate
from tests.reference import float64, scores, wide

VECTOR = {"conv1": 0.6, "conv2": 1.0, "conv3": 1.8}
FOUR = ("awn", "awn_rs", "s_net", "us_net")


def bits(result):
    """Return everything that an interruption must not change: weights and BN statistics, and the recorded rows."""
    state = {name: value.numpy().tobytes() for name, value in result.model.state_dict().items()}
    return state, result.history, result.bn_statistics, result.num_steps


# --- against a slow loop ---------------------------------------------------------------------------------------------


def cross_entropy_slowly(logits, teacher):
    return -(teacher * logits.log_softmax(1)).sum(1).mean()


def divergence_slowly(logits, teacher):
    """AlphaNet's adaptive loss: the clipped ratio (q / p) is a constant, the larger divergence of each image counts."""
    total = 0.0
    for p, q in zip(teacher, logits.softmax(1), strict=True):
        ratio = (q / p).clamp(max=5).detach()
        low, high = (0.5 * (q * (ratio - 1)).sum(), (p * (p / q).log()).sum())
        # The gradient of the first is q ratio grad log q; half of it comes from the factor q, half from the ratio.
        total += (ratio * q).sum() if low > high else high
    return total / len(logits)


def normalised(pixels, data):
    return (pixels.double() / 255 - data.mean[0]) / data.std[0]


def in_float64(images, data):
    """Return normalised images without their rounding to float32."""
    return normalised(((images.double() * data.std[0] + data.mean[0]) * 255).round(), data)


def train_slowly(run, data, num_steps):
    """Return state and losses after some steps: a pass for each width, one sum of losses, SGD by its definition."""
    settings, method = run.train, run.method_settings
    widths = [1.0] if run.individual_width is not None else run.widths
    model = build_model(run, data.image_shape, data.num_classes).train()
    images = normalised(data.train_images, data).to(torch.get_default_dtype())
    epoch_steps = len(images) // settings.batch_size
    momentum, losses = {}, []
    for step in range(num_steps):
        epoch, position = divmod(step, epoch_steps)
        order = torch.randperm(len(images), generator=rng(run.seed, "epoch_order", epoch))
        batch = order[position * settings.batch_size : (position + 1) * settings.batch_size]
        labels = data.train_labels[batch]
        teacher, step_losses = None, []
        every = model.distinct_width_mults(include=widths)
        trained = sample_widths(method, widths, rng(run.seed, "widths", step), every, list(model.channels))
        share = method.label_share
        if method.label_share_decay == "linear":
            share *= 1 - step / (epoch_steps * settings.num_epochs)
        for width in trained:
            for name, channels in model.channels.items():
                channels.set_width_mult(width[name] if isinstance(width, dict) else width)
            logits = model(images[batch])
            loss = F.cross_entropy(logits, labels)
            if method.distillation and teacher is not None:
                distilled = divergence_slowly if method.distance else cross_entropy_slowly
                loss = share * loss + (1 - share) * distilled(logits, teacher)
            elif teacher is None:
                teacher = logits.detach().softmax(1)
            step_losses.append(loss)
        parameters = dict(model.named_parameters())
        weighted = zip(loss_weights(method, widths, trained), step_losses, strict=True)
        gradients = torch.autograd.grad(sum(weight * loss for weight, loss in weighted), list(parameters.values()))
        lr = settings.lr * settings.gamma ** sum(
            step >= fraction * epoch_steps * settings.num_epochs for fraction in settings.milestones
        )
        with torch.no_grad():
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True):
                decays = settings.weight_decay_on == "all" or parameter.ndim > 1
                gradient = gradient + (settings.weight_decay * parameter if decays else 0.0)
                momentum[name] = settings.momentum * momentum[name] + gradient if name in momentum else gradient
                parameter -= lr * (
                    gradient + settings.momentum * momentum[name] if settings.nesterov else momentum[name]
                )
        losses.append([loss.item() for loss in step_losses])
    return model.state_dict(), torch.tensor(losses)


RULES = [
    {"widths": "fixed"},
    {"widths": "sandwich"},
    {"widths": "min_random"},
    {"widths": "max_random"},
    {"widths": "random", "num_widths": 1},
    {"widths": "all"},
    {"widths": "all", "emphasis": "ends"},
]
OBJECTIVES = [
    {},
    {"label_share": 0.3},
    {"label_share": 0.8, "label_share_decay": "linear"},
    {"distance": "alpha_divergence"},
    {"distance": "alpha_divergence", "label_share": 0.3},
]
STEPS = [{"distillation": False, **rule} for rule in RULES] + [
    {"distillation": True, **rule, **objective} for rule in (RULES[0], RULES[3]) for objective in OBJECTIVES
]
PER_LAYER = [{**step, "widths_per_layer": True} for step in STEPS if step["widths"] not in ("fixed", "all")]
EXACT = [("s_net", {"widths": "fixed", "affine": affine}) for affine in ("private", "shared")]
EXACT += [("us_net", step) for step in STEPS if step["widths"] != "all"] + [("awn", step) for step in STEPS]
EXACT += [("us_net", step) for step in PER_LAYER]


@pytest.mark.parametrize(("base", "changes"), EXACT, ids=lambda value: str(value))
def test_a_step_of_each_rule_and_objective_is_that_of_the_slow_loop(
    make_run, study_data, shapes, monkeypatch, base, changes
):
    """In float64 to rounding, with a pass for each width and with one for all; the second step has another share."""
    few = dataclasses.replace(shapes, train_images=shapes.train_images[:20], train_labels=shapes.train_labels[:20])
    study_data["models"] = {"lenet_3c1l": {"base_width_mult": 0.25}}
    study_data["methods"] = {"mine": {"base": base, "label": "mine", **changes}}
    run = make_run("mine", num_epochs=2, weight_decay=0.1)
    batches = Supervised.training_batches
    monkeypatch.setattr(
        Supervised,
        "training_batches",
        lambda *args: ((in_float64(images, shapes), labels) for images, labels in batches(*args)),
    )
    with float64():
        result = train(run, few)
        state, losses = train_slowly(run, few, num_steps=2)
    assert result.num_steps == 2
    for name, value in result.model.state_dict().items():
        if "num_batches" not in name and not (changes["widths"] == "all" and "running" in name):
            assert (value - state[name]).norm() <= 1e-12 * state[name].norm(), name
    if run.method_settings.has_largest:
        largest = [row for row in result.history if row["width_mult"] == 1.0]
        assert scores(largest, "loss_nats") == pytest.approx(losses[:, 0].tolist(), rel=1e-12)


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("awn", {}),
        ("awn_rs", {"weight_decay": 0.1}),
        ("awn_2w", {"momentum": 0.0}),
        ("s_net", {"weight_decay": 0.1, "weight_decay_on": "weights"}),
        ("us_net", {"nesterov": True}),
        ("shared_bn", {"milestones": [0.2, 0.4], "gamma": 0.5}),
        ("i_net", {"weight_decay": 0.1, "nesterov": True}),
    ],
)
def test_training_is_the_slow_loop(make_run, shapes, method, settings):
    """Six steps: recorded ones with a pass for each width, and others, where any-width networks make one pass."""
    run = make_run(method, **{"num_epochs": 3, "batch_size": 50, "lr": 0.01, **settings})
    result = train(run, shapes)
    state, losses = train_slowly(run, shapes, num_steps=6)
    assert result.num_steps == 6
    for name, value in result.model.state_dict().items():
        torch.testing.assert_close(
            value, state[name], rtol=2e-3, atol=2e-4, msg=lambda text, name=name: f"{name}: {text}"
        )
    rows = [row for row in result.history if row["width_mult"] == (run.individual_width or 1.0)]
    largest = scores(rows, "loss_nats")
    torch.testing.assert_close(torch.tensor(largest), losses[:, 0].view(3, 2).mean(1), rtol=1e-3, atol=1e-4)


def test_history_has_a_row_for_each_width_and_one_for_the_random_ones(make_run, shapes):
    run = make_run("us_net", num_epochs=2)
    history = train(run, shapes).history
    assert [row["metric"] for row in history] == ["top1_pct", "loss_nats"] * 6
    rows = wide(history)
    assert [(row["epoch"], row["step"], row["width_mult"]) for row in rows] == [
        (epoch, 5 * epoch, width) for epoch in (1, 2) for width in (1.0, 0.25, None)
    ]
    assert all(0 <= row["top1_pct"] <= 100 for row in rows)
    _, losses = train_slowly(run, shapes, num_steps=5)
    assert rows[2]["loss_nats"] == pytest.approx(losses[:5, 2:].mean().item(), rel=0.02)


@pytest.mark.parametrize(
    ("rule", "rows"), [("min_random", [0.25, None]), ("max_random", [1.0, None]), ("random", [None])]
)
@pytest.mark.parametrize("base", ["us_net_hard", "awn"])
def test_history_names_the_widths_that_a_rule_has_in_every_step(make_run, study_data, shapes, base, rule, rows):
    study_data["methods"] = {"mine": {"base": base, "label": "mine", "widths": rule, "num_widths": 3}}
    run = make_run("mine", num_epochs=1)
    result = train(run, shapes)
    assert [row["width_mult"] for row in wide(result.history)] == rows
    assert result.num_widths == 3
    _, losses = train_slowly(run, shapes, num_steps=5)
    fixed = rows.index(None)
    expected = [*losses[:, :fixed].mean(0).tolist(), losses[:, fixed:].mean().item()]
    assert scores(result.history, "loss_nats") == pytest.approx(expected, rel=0.02)


# --- seeds and methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", FOUR)
def test_seed_decides_every_bit(make_run, shapes, method):
    first, again, other = (train(make_run(method, num_epochs=1, seed=seed), shapes) for seed in (0, 0, 1))
    assert bits(first) == bits(again)
    assert bits(first)[0]["conv1.weight"] != bits(other)[0]["conv1.weight"]


def test_global_random_state_is_neither_used_nor_changed(make_run, shapes):
    torch.manual_seed(1)
    first, state = train(make_run(num_epochs=1), shapes), torch.get_rng_state()
    torch.manual_seed(2)
    assert bits(train(make_run(num_epochs=1), shapes)) == bits(first)
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_are_those_of_the_seed_and_no_gpu_is_woken_for_them(make_run, shapes, monkeypatch):
    """By default torch saves the state of every GPU's generator, and warns where there are several."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("the GPUs were counted"))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _: pytest.fail("the GPUs were seeded"))
    model = build_model(make_run("s_net", seed=3), shapes.image_shape, shapes.num_classes)
    monkeypatch.undo()
    state = torch.get_rng_state()
    torch.manual_seed(rng(3, "weights").initial_seed())
    expected = create_model(**model.spec.model_dump()).state_dict()
    torch.set_rng_state(state)
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())


def test_counts_of_widths_that_never_change_are_made_once(make_run, shapes, monkeypatch):
    """One channel count for each dimension and width, and a copy to the device, would else be made in every step."""
    monkeypatch.setattr("awnlib.tasks._supervised.channel_counts", lambda *_: pytest.fail("made in a step"))
    for method in ("awn", "awn_all"):
        train(make_run(method, num_epochs=1), shapes)


@pytest.mark.parametrize("method", load_methods())
def test_loss_of_every_method_falls(make_run, shapes, method):
    held_out = 0.25 if load_methods()[method].slimming else 0.0
    rows = train(make_run(method, num_epochs=6, schedule="constant", held_out=held_out), shapes).history
    for width in {row["width_mult"] for row in rows} - {None}:
        losses = scores([row for row in rows if row["width_mult"] == width], "loss_nats")
        assert losses[-1] < (0.6 if width >= 0.25 else 0.8) * losses[0]  # two channels of 32 learn slowly


def test_an_s_net_may_have_one_scale_and_shift_for_all_widths(make_run, study_data, shapes):
    study_data["methods"] = {"mine": {"base": "s_net", "label": "mine", "affine": "shared"}}
    norm = train(make_run("mine", num_epochs=1), shapes).model.norm2
    assert sorted(name for name, _ in norm.named_parameters()) == ["bias", "weight"]
    assert (norm.weight != 1).all()
    assert norm.width_mults == [0.25, 0.5, 0.75, 1.0]
    assert len({statistics.running_mean[0].item() for statistics in norm.norms}) == 4
    assert train(make_run("s_net", num_epochs=1), shapes).model.norm2.private


def test_individual_networks_have_the_channels_of_their_width(make_run, shapes):
    result = train(make_run("i_net", individual=2, num_epochs=1), shapes)
    assert result.model.conv1.weight.shape[0] == 16  # 0.5 of 32
    assert {row["width_mult"] for row in result.history} == {0.5}
    assert result.model.spec.min_width_mult == 1.0


def test_test_images_are_not_needed(make_run, shapes):
    blind = dataclasses.replace(shapes, test_images=shapes.test_images[:0], test_labels=shapes.test_labels[:0])
    assert bits(train(make_run(num_epochs=1), blind)) == bits(train(make_run(num_epochs=1), shapes))


def test_images_that_are_held_out_are_not_trained_with(make_run, shapes):
    """Training is that of the other images alone, whatever those that are held out show; by default there are none."""
    run = make_run(num_epochs=1, held_out=0.3, seed=2)
    rest, held = hold_out(shapes, 0.3, seed=2)
    assert torch.bincount(shapes.train_labels[held]).tolist() == [3] * 10
    other = dataclasses.replace(shapes, train_images=shapes.train_images.clone())
    other.train_images[held] = 0
    found = train(run, shapes)
    assert found.num_steps == 3
    plain = make_run(num_epochs=1, seed=2)
    assert bits(found) == bits(train(run, other)) == bits(train(plain, rest)) != bits(train(plain, shapes))
    assert hold_out(shapes, 0, seed=2)[0] is shapes
    with pytest.raises(ValueError, match=r"the held-out 0\.05 of the training images has no image of class"):
        train(make_run(num_epochs=1, held_out=0.05), shapes)


def test_augmented_images_train_another_network(make_run, study_data, shapes):
    plain = train(make_run(num_epochs=1), shapes)
    study_data["datasets"]["shapes"]["augment"] = "crop_flip"
    assert bits(train(make_run(num_epochs=1), shapes))[0] != bits(plain)[0]


# --- interruptions ---------------------------------------------------------------------------------------------------


class StopError(Exception):
    """What stands for a kill."""


@pytest.fixture
def stop_at(monkeypatch):
    """Return a function after which training raises at a step, before that step's checkpoint; looks at every step."""
    monkeypatch.setattr(resumable, "CHECK_EVERY", 1)
    update = Progress.update

    def arm(stop):
        def stopping(self, step, **values):
            if step == stop:
                raise StopError
            update(self, step, **values)

        monkeypatch.setattr(Progress, "update", stopping)

    return arm


def interrupted(stop_at, run, data, path, *stops):
    for stop in stops:
        stop_at(stop)
        with pytest.raises(StopError):
            train(run, data, checkpoint=path, checkpoint_every_s=0)
    stop_at(None)
    return train(run, data, checkpoint=path, checkpoint_every_s=0)


@pytest.mark.parametrize("method", FOUR)
@pytest.mark.parametrize("stops", [(4,), (2, 3, 7), (6, 10)])
def test_continued_run_is_the_uninterrupted_one(make_run, shapes, tmp_path, stop_at, method, stops):
    """Five steps an epoch: stops inside an epoch, at its end, right after it, and at the very last step."""
    run = make_run(method, weight_decay=0.01, schedule="linear")
    expected = train(run, shapes)
    result = interrupted(stop_at, run, shapes, tmp_path / "c", *stops)
    assert bits(result) == bits(expected)
    assert (expected.resumed, result.resumed) == (0, len(stops))
    assert result.train_time_s > 0


def test_continued_run_draws_the_same_crops(make_run, study_data, shapes, tmp_path, stop_at):
    study_data["datasets"]["shapes"]["augment"] = "crop_flip"
    run = make_run("awn_rs")
    assert bits(interrupted(stop_at, run, shapes, tmp_path / "c", 4)) == bits(train(run, shapes))


def test_finished_run_is_read_from_its_checkpoint(make_run, shapes, tmp_path, stop_at, monkeypatch):
    run = make_run()
    expected = interrupted(stop_at, run, shapes, tmp_path / "c")
    monkeypatch.setattr(Supervised, "step", lambda *_, **__: pytest.fail("a step was taken"))
    assert bits(train(run, shapes, checkpoint=tmp_path / "c")) == bits(expected)


def header_size(path):
    return int.from_bytes(path.read_bytes()[:8], "little")


def test_header_of_a_checkpoint_does_not_grow_with_what_is_tracked(make_run, study_data, shapes, tmp_path):
    """The format allows 100 MB: 512,000 rows (4 widths, 100 points, 1280 channels) as text would not fit."""
    for num_points in (1, 10):
        study_data["track"] = {"num_points": num_points}
        train(make_run("s_net"), shapes, checkpoint=tmp_path / str(num_points))
    assert header_size(tmp_path / "10") == pytest.approx(header_size(tmp_path / "1"), abs=50)
    tensors, _ = load_tensors(tmp_path / "10")
    assert tensors["bn_statistics"].shape == (10, 4, 8, 4)  # points, widths, channels at width 0.25 of 32, numbers


def test_tracked_statistics_survive_interruptions(make_run, study_data, shapes, tmp_path, stop_at):
    study_data["track"] = {"num_points": 100}
    run = make_run("us_net")
    continued = interrupted(stop_at, run, shapes, tmp_path / "c", 3, 8)
    assert continued.resumed == 2
    assert continued.bn_statistics == train(run, shapes).bn_statistics


@pytest.mark.parametrize("method", ["us_net", "awn_rs"])
def test_compared_gradients_survive_interruptions(make_run, study_data, shapes, tmp_path, stop_at, method):
    study_data["track"] = {"num_points": 1, "gradients": 5}
    run = make_run(method)
    continued = interrupted(stop_at, run, shapes, tmp_path / "c", 3, 8)
    assert continued.resumed == 2
    found, expected = ([*map(str, result.gradients)] for result in (continued, train(run, shapes)))  # nan is not nan
    assert found == expected
    assert len(found) == 5 * (4 + 6)  # steps, widths and pairs


@pytest.mark.parametrize(("every_s", "steps"), [(3600, [10]), (0, list(range(1, 11)))])
def test_checkpoints_keep_the_time_between_them_but_for_the_last(
    make_run, shapes, tmp_path, stop_at, monkeypatch, every_s, steps
):
    stop_at(None)
    saved = []
    save = module._Training.save
    monkeypatch.setattr(module._Training, "save", lambda self, path: saved.append(self.step) or save(self, path))
    train(make_run(), shapes, checkpoint=tmp_path / "c", checkpoint_every_s=every_s)
    assert saved == steps


KILLED = """
import os, pickle, sys
from awnlib import files
from awnlib.jobs import resumable
from awnlib.training import engine as train
from awnlib.jobs.progress import Progress

run, data, path = pickle.load(sys.stdin.buffer)
resumable.CHECK_EVERY = 1
train.torch.set_num_threads(1)

def update(self, step, **_):
    if step == 6:
        files.os.replace = lambda *_: os.kill(os.getpid(), 9)

Progress.update = update
train.train(run, data, checkpoint=path, checkpoint_every_s=0)
"""


def test_process_killed_while_it_writes_a_checkpoint_is_continued(make_run, shapes, tmp_path):
    """SIGKILL when the sixth checkpoint is written but has not its name yet: the fifth one is whole."""
    run, path = make_run("us_net"), tmp_path / "c"
    message = pickle.dumps((run, shapes, path))
    assert subprocess.run([sys.executable, "-c", KILLED], input=message).returncode == -signal.SIGKILL
    assert load_tensors(path)[1]["step"] == 5
    result = train(run, shapes, checkpoint=path)
    assert result.resumed == 1
    assert bits(result) == bits(train(run, shapes))


TERMINATED = """
import os, pickle, signal, sys
from awnlib.jobs import resumable
from awnlib.training import engine as train
from awnlib.jobs.progress import Progress

run, data, path = pickle.load(sys.stdin.buffer)
resumable.CHECK_EVERY = 1
train.torch.set_num_threads(1)
Progress.update = lambda self, step, **_: step == 6 and os.kill(os.getpid(), signal.SIGTERM)
train.train(run, data, checkpoint=path, checkpoint_every_s=3600)
"""


def test_process_that_receives_sigterm_saves_its_state_and_is_continued(make_run, shapes, tmp_path):
    """The signal comes in the sixth of ten steps, which is the last."""
    run, path = make_run("us_net"), tmp_path / "c"
    message = pickle.dumps((run, shapes, path))
    done = subprocess.run([sys.executable, "-c", TERMINATED], input=message, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert b"SIGTERM, stopped after step 6" in done.stderr
    assert load_tensors(path)[1]["step"] == 6
    result = train(run, shapes, checkpoint=path)
    assert result.resumed == 1
    assert bits(result) == bits(train(run, shapes))


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"lr": 0.01},
        {"num_epochs": 3},
        {"batch_size": 25},
        {"method": "awn_rs"},
        {"method": "s_net"},
    ],
)
def test_checkpoint_of_another_run_is_not_used(make_run, shapes, tmp_path, stop_at, other):
    interrupted_once(stop_at, make_run(), shapes, tmp_path / "c")
    run = make_run(**other)
    result = train(run, shapes, checkpoint=tmp_path / "c")
    assert result.resumed == 0
    assert bits(result) == bits(train(run, shapes))


@pytest.mark.parametrize(
    ("change", "resumed"),
    [({"label": "U"}, 1), ({"recalibration": [3]}, 1), ({"source": "me"}, 1), ({"distillation": False}, 0)],
)
def test_what_trains_nothing_anew_does_not_start_a_training_anew(
    make_run, study_data, shapes, tmp_path, stop_at, capsys, change, resumed
):
    """The workflow compares `training_settings`, and what it takes for the same run must be one for a checkpoint."""
    run, path = make_run("us_net"), tmp_path / "c"
    interrupted_once(stop_at, run, shapes, path)
    study_data["methods"] = {"us_net": change}
    edited = make_run("us_net")
    assert (edited.training_settings() == run.training_settings()) == bool(resumed)
    assert train(edited, shapes, checkpoint=path).resumed == resumed
    said = f"{path} is of other settings, images or code: starting anew" in capsys.readouterr().err
    assert said == (not resumed)


def interrupted_once(stop_at, run, data, path):
    stop_at(4)
    with pytest.raises(StopError):
        train(run, data, checkpoint=path, checkpoint_every_s=0)
    assert path.exists()
    stop_at(None)


def other_data(shapes, kind):
    changes = {
        "number": {"train_images": shapes.train_images[:80], "train_labels": shapes.train_labels[:80]},
        "pixels": {"train_images": shapes.train_images.flip(-1)},
        "labels": {"train_labels": shapes.train_labels.flip(0)},
        "mean": {"mean": (0.0,)},
    }
    return dataclasses.replace(shapes, **changes[kind])


@pytest.mark.parametrize("kind", ["number", "pixels", "labels", "mean"])
def test_checkpoint_of_other_data_is_not_used(make_run, shapes, tmp_path, stop_at, kind):
    interrupted_once(stop_at, make_run(), shapes, tmp_path / "c")
    assert train(make_run(), other_data(shapes, kind), checkpoint=tmp_path / "c").resumed == 0


def test_checkpoint_of_the_same_images_from_elsewhere_is_used(make_run, shapes, tmp_path, stop_at):
    interrupted_once(stop_at, make_run(), shapes, tmp_path / "c")
    elsewhere = dataclasses.replace(shapes, source="the same shapes, from another folder")
    assert train(make_run(), elsewhere, checkpoint=tmp_path / "c").resumed == 1


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "foreign", "model"])
def test_damaged_checkpoint_is_named(make_run, shapes, tmp_path, stop_at, damage):
    path, run = tmp_path / "c", make_run()
    interrupted_once(stop_at, run, shapes, path)
    if damage == "foreign":
        checkpoint_module.save_tensors(path, {"a": torch.zeros(1)}, {})
    elif damage == "model":
        save_model(path, build_model(run, shapes.image_shape, shapes.num_classes))
    else:
        path.write_bytes({"truncated": path.read_bytes()[:-9], "empty": b"", "garbage": os.urandom(99)}[damage])
    with pytest.raises(CheckpointError) as caught:
        train(run, shapes, checkpoint=path)
    assert str(path) in str(caught.value)
    assert "delete it" in str(caught.value)


# --- learning rate and optimiser -------------------------------------------------------------------------------------


def test_multistep_schedule_of_the_paper():
    """20 epochs of 468 steps: 0.01, from epoch 10 on 0.001, from epoch 15 on 0.0001."""
    total = 20 * 468
    rates = [learning_rate(TrainConfig(), step / total) for step in range(total)]
    expected = [0.01] * (10 * 468) + [0.001] * (5 * 468) + [0.0001] * (5 * 468)
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("total", [10, 100, 390, 9380])
@pytest.mark.parametrize("milestones", [[0.1, 0.3, 0.7], [0.6, 0.9]])
def test_lr_falls_in_the_very_step_of_the_milestone(total, milestones):
    settings = TrainConfig(milestones=milestones, gamma=0.5, lr=1.0)
    rates = [learning_rate(settings, step / total) for step in range(total)]
    falls = [step for step in range(1, total) if rates[step] != rates[step - 1]]
    assert falls == [round(milestone * total) for milestone in milestones]


def test_linear_and_constant_schedule():
    linear = TrainConfig(schedule="linear", lr=0.4)
    assert [learning_rate(linear, step / 4) for step in range(4)] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    constant = TrainConfig(schedule="constant", lr=0.4)
    assert {learning_rate(constant, step / 4) for step in range(4)} == {0.4}


def torch_rates(schedule, total, warmup):
    """Return the rates of torch's schedulers, stepped once a step; warm-up cannot start at 0 there, but near it."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.4)
    start = [torch.optim.lr_scheduler.LinearLR(optimizer, 1e-12, 1.0, warmup)] if warmup else []
    if schedule == "cosine":
        main = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup)
    elif schedule == "linear":
        main = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total - warmup)
    elif schedule == "constant":
        main = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    else:
        steps = [round(fraction * total) - warmup for fraction in (0.5, 0.75)]
        main = torch.optim.lr_scheduler.MultiStepLR(optimizer, steps, 0.1)
    scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, [*start, main], [warmup] if warmup else [])
    rates = []
    for _ in range(total):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")  # torch's own call, in SequentialLR
@pytest.mark.parametrize("warmup_epochs", [0, 1, 2])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "multistep", "constant"])
def test_schedules_are_those_of_torch(schedule, warmup_epochs):
    """Eight epochs of 25 steps."""
    settings = TrainConfig(schedule=schedule, lr=0.4, num_epochs=8, warmup_epochs=warmup_epochs)
    rates = [learning_rate(settings, step / 200) for step in range(200)]
    assert rates == pytest.approx(torch_rates(schedule, 200, 25 * warmup_epochs), rel=1e-9, abs=1e-9)


def test_warmup_written_out():
    settings = TrainConfig(schedule="cosine", lr=0.4, num_epochs=4, warmup_epochs=2)
    rates = [learning_rate(settings, step / 8) for step in range(8)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.2 * (1 + 0.5**0.5), 0.2, 0.2 * (1 - 0.5**0.5)])


@pytest.mark.parametrize("method", ["awn_rs", "us_net"])
def test_labels_are_smoothed_in_training(make_run, shapes, method):
    """The loss of the very first step is that of torch at the initial weights, where all labels are hard."""
    run = make_run(method, batch_size=100, num_epochs=1, label_smoothing=0.2)
    model = build_model(run, shapes.image_shape, shapes.num_classes).train()
    with torch.no_grad():
        logits = model((shapes.train_images / 255 - shapes.mean[0]) / shapes.std[0])
    expected = F.cross_entropy(logits, shapes.train_labels, label_smoothing=0.2).item()
    assert scores(train(run, shapes).history, "loss_nats")[0] == pytest.approx(expected, rel=1e-4)
    assert expected != pytest.approx(F.cross_entropy(logits, shapes.train_labels).item(), rel=1e-3)


def test_lr_of_the_history(make_run, shapes):
    rows = wide(train(make_run(num_epochs=4, lr=0.01), shapes).history)
    assert [row["lr"] for row in rows if row["width_mult"] == 1.0] == pytest.approx([0.01, 0.01, 0.001, 0.0001])


def test_optimised_proportions_and_a_narrower_base(make_run, study_data, shapes):
    """A width vector is a setting of the method, the width of all methods one of the model."""
    study_data["methods"] = {"optimised": {"base": "awn", "label": "x", "width_vector": VECTOR}}
    study_data["models"] = {"lenet_3c1l": {"base_width_mult": 0.5}}
    runs = [with_base_counts(make_run(method), (1, 16, 16), 10) for method in ("awn", "optimised")]
    plain, optimised = (build_model(run, (1, 16, 16), 10) for run in runs)
    counts = {name: channels.full for name, channels in optimised.channels.items()}
    assert {name: channels.full for name, channels in plain.channels.items()} == dict.fromkeys(VECTOR, 23)
    assert counts["conv1"] < 23 < counts["conv3"]
    assert 0.99 * cost(plain).macs <= cost(optimised).macs <= cost(plain).macs
    assert runs[1].counts == counts
    with pytest.raises(ValueError, match="optimised/seed0: a width_vector must become counts first"):
        train(make_run("optimised"), shapes)


def test_the_stem_is_that_of_the_study(make_run, study_data):
    study_data["models"] = {"resnet18": {"base_width_mult": 0.05, "stem": "large"}}
    study_data["exhibits"]["any_width_networks.table2"]["panels"][0]["model"] = "resnet18"
    model = build_model(make_run("awn"), (3, 32, 32), 10)
    assert model.get_submodule("stem").conv.kernel_size == (7, 7)


@pytest.mark.parametrize(("on", "without"), [("all", set()), ("weights", {"norm", "bias"})])
def test_what_decays(make_run, shapes, on, without):
    settings = TrainConfig(weight_decay=0.3, weight_decay_on=on)
    model = build_model(make_run("s_net"), shapes.image_shape, shapes.num_classes)
    groups = create_optimizer(model, settings).param_groups
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    found = {name: decay[id(parameter)] for name, parameter in model.named_parameters()}
    assert found == {name: 0.0 if any(word in name for word in without) else 0.3 for name in found}
    assert set(found.values()) == ({0.3} if on == "all" else {0.0, 0.3})


@pytest.mark.parametrize("layer", ["sliced", "triangular"])
@pytest.mark.parametrize("on", ["all", "weights", "weights_not_depthwise"])
def test_depthwise_kernels_can_be_spared(layer, on):
    """As in the code of US-Nets: what has one input channel for each output does not decay, nor do norms and biases."""
    model = create_model("mobilenet_v1", input_shape=(3, 16, 16), base_width_mult=0.125, layer=layer)
    groups = create_optimizer(model, TrainConfig(weight_decay=0.3, weight_decay_on=on)).param_groups
    decayed = {id(parameter) for group in groups if group["weight_decay"] for parameter in group["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in decayed}
    kinds = {"conv": {"stem.conv.weight", *(f"blocks.{block}.pointwise.conv.weight" for block in range(13))}}
    kinds["depthwise"] = {f"blocks.{block}.depthwise.conv.weight" for block in range(13)}
    expected = {"classifier.weight", *kinds["conv"]} | (set() if on == "weights_not_depthwise" else kinds["depthwise"])
    assert names == ({name for name, _ in model.named_parameters()} if on == "all" else expected)


def test_a_network_in_which_nothing_decays_has_an_optimiser():
    """Norms alone, say."""
    norms = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3))
    [group] = create_optimizer(norms, TrainConfig(lr=0.25, weight_decay=0.3, weight_decay_on="weights")).param_groups
    assert group["weight_decay"] == 0.0
    assert [id(parameter) for parameter in group["params"]] == [id(parameter) for parameter in norms.parameters()]
    assert group["lr"].item() == 0.25


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ValueError, match="empty parameter list"):
        create_optimizer(nn.ReLU(), TrainConfig())


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_step_is_that_of_sgd_and_one_learning_rate_reaches_all_groups(make_run, shapes, nesterov):
    settings = TrainConfig(weight_decay=0.3, weight_decay_on="weights", nesterov=nesterov)
    model = build_model(make_run("s_net"), shapes.image_shape, shapes.num_classes)
    reference = copy.deepcopy(model)
    optimizer = create_optimizer(model, settings)
    decayed = [parameter for parameter in reference.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in reference.parameters() if parameter.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.3}, {"params": others, "weight_decay": 0.0}]
    plain = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=nesterov, foreach=False)
    for lr in (0.1, 0.1, 0.02):
        optimizer.param_groups[0]["lr"].fill_(lr)
        for group in plain.param_groups:
            group["lr"] = lr
        for one, other in zip(model.parameters(), reference.parameters(), strict=True):
            other.grad = torch.randn_like(other)
            one.grad = other.grad.clone()
        optimizer.step()
        plain.step()
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_step_of_adam_is_that_of_its_definition(make_run, shapes):
    """Kingma and Ba, algorithm 1, in float64; weight decay is part of the gradient."""
    with float64():
        adam = {"optimizer": "adam", "momentum": 0.8, "epsilon": 1e-3}
        settings = TrainConfig(**adam, weight_decay=0.3, weight_decay_on="weights")
        model = build_model(make_run("s_net"), shapes.image_shape, shapes.num_classes)
        expected = [parameter.detach().clone() for parameter in model.parameters()]
        first, second = ([torch.zeros_like(parameter) for parameter in expected] for _ in range(2))
        optimizer = create_optimizer(model, settings)
        for step, lr in enumerate((0.1, 0.1, 0.02), 1):
            optimizer.param_groups[0]["lr"].fill_(lr)
            for index, parameter in enumerate(model.parameters()):
                parameter.grad = torch.randn_like(parameter)
                gradient = parameter.grad + (0.3 * expected[index] if parameter.ndim > 1 else 0.0)
                first[index] = 0.8 * first[index] + 0.2 * gradient
                second[index] = 0.999 * second[index] + 0.001 * gradient**2
                change = first[index] / (1 - 0.8**step) / ((second[index] / (1 - 0.999**step)).sqrt() + 1e-3)
                expected[index] = expected[index] - lr * change
            optimizer.step()
    for one, other in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "lr"), [("awn", 1.0e8), ("awn", 1.0e30), ("s_net", 1.0e8), ("us_net", 1.0e15)])
def test_divergence_names_the_iteration_and_leaves_no_checkpoint_of_it(make_run, shapes, tmp_path, stop_at, method, lr):
    stop_at(None)
    run = make_run(method, lr=lr, num_epochs=3, schedule="constant")
    with pytest.raises(DivergedError, match=r"(the loss is (nan|inf)|\S+ is not finite) at iteration \d+: lower the"):
        train(run, shapes, checkpoint=tmp_path / "c", checkpoint_every_s=0)
    if (tmp_path / "c").exists():
        tensors, _ = load_tensors(tmp_path / "c")
        assert [name for name, tensor in tensors.items() if not tensor.isfinite().all()] == []


@pytest.mark.parametrize("num_epochs", [2, 5])
def test_divergence_is_noticed_however_short_the_run(make_run, shapes, num_epochs):
    with pytest.raises(DivergedError):
        train(make_run("s_net", lr=1.0e30, num_epochs=num_epochs), shapes)


@pytest.mark.parametrize(
    ("method", "lr", "num_epochs"), [("awn", 3.0e38, 1), ("s_net", 1.0e8, 3), ("us_net", 1.0e15, 2)]
)
def test_run_that_ends_with_a_network_that_is_not_finite_has_diverged(make_run, shapes, method, lr, num_epochs):
    """The last step's loss at the first width says nothing about other widths or the weights after the step."""
    with pytest.raises(DivergedError):
        train(make_run(method, lr=lr, num_epochs=num_epochs, batch_size=100, schedule="constant"), shapes)


# --- what does not fit -----------------------------------------------------------------------------------------------


def test_too_few_images_for_a_batch(make_run, shapes):
    with pytest.raises(ValueError, match="batch_size 128 is more than the 100 training images"):
        train(make_run(batch_size=128), shapes)


def test_image_too_small_for_the_model(make_run, shapes):
    small = dataclasses.replace(shapes, train_images=shapes.train_images[..., :12, :12].contiguous())
    with pytest.raises(ValueError, match="at least 16 pixels, found 12"):
        train(make_run(), small)


def test_unknown_tracked_layer(make_run, study_data, shapes):
    study_data["track"] = {"layer": "bn9"}
    with pytest.raises(ValueError, match=r"track\.layer: no norm layer 'bn9' \(the model has: norm1"):
        train(make_run(), shapes)


# --- what is recorded ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("num_points", "steps"), [(100, range(10)), (5, range(0, 10, 2)), (1, [0]), (4, range(0, 10, 2))]
)
def test_about_as_many_iterations_are_recorded_as_asked(make_run, study_data, shapes, num_points, steps):
    study_data["track"] = {"layer": "norm1", "num_points": num_points}
    rows = train(make_run("s_net"), shapes).bn_statistics
    assert sorted({row["step"] for row in rows}) == list(steps)
    assert {row["layer"] for row in rows} == {"norm1"}
    assert {row["width_mult"] for row in rows} == {1.0, 0.75, 0.5, 0.25}


def test_recording_more_changes_no_more_than_rounding(make_run, study_data, shapes):
    study_data["track"] = {"num_points": 1}
    rarely = train(make_run("awn", num_epochs=1), shapes)
    study_data["track"] = {"num_points": 100}
    always = train(make_run("awn", num_epochs=1), shapes)
    assert len(always.bn_statistics) == 5 * len(rarely.bn_statistics)
    for name, value in always.model.state_dict().items():
        torch.testing.assert_close(value, rarely.model.state_dict()[name], rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(("method", "individual", "rows"), [("us_net", 0, 20), ("awn_all", 0, 20), ("i_net", 1, 0)])
def test_gradients_are_compared_where_asked_and_change_no_more_than_rounding(
    make_run, study_data, shapes, method, individual, rows
):
    plain = train(make_run(method, num_epochs=1, individual=individual), shapes)
    study_data["track"] = {"num_points": 2, "gradients": 2}
    compared = train(make_run(method, num_epochs=1, individual=individual), shapes)
    assert (len(plain.gradients), len(compared.gradients)) == (0, rows + rows // 2)  # of 5 steps the 1st, 3rd and 5th
    for name, value in compared.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=2e-3, atol=2e-4)


def test_log_says_how_far_it_is(make_run, shapes, capsys):
    train(make_run(), shapes)
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("shapes/lenet_3c1l/awn/seed0: step 10/10, loss ")
    assert math.isfinite(float(line.split("loss ")[1].split(",")[0]))


# --- options of speed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["awn", "us_net"])
def test_bfloat16_trains_nearly_the_same(make_run, shapes, method):
    exact = train(make_run(method, num_epochs=4, schedule="constant"), shapes)
    rough = train(make_run(method, num_epochs=4, schedule="constant", precision="bfloat16"), shapes)
    assert {value.dtype for value in rough.model.parameters()} == {torch.float32}
    assert bits(rough)[0] != bits(exact)[0]
    last = [scores(result.history, "loss_nats")[-1] for result in (exact, rough)]
    assert last[1] < 0.6 * scores(rough.history, "loss_nats")[0]
    assert last[1] == pytest.approx(last[0], rel=0.3)


def test_bfloat16_on_a_cpu_without_it_is_said_before_the_first_step(make_run, shapes, monkeypatch, capsys):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # read by oneDNN when it starts, by us now
    hardware._say_once.cache_clear()
    train(make_run(precision="bfloat16"), shapes)
    lines = capsys.readouterr().err.splitlines()
    said = ["is far slower than float32 on this CPU" in line for line in lines]
    assert said == [True] + [False] * (len(lines) - 1)


def compare_compiled(make_run, shapes, method):
    plain = train(make_run(method, num_epochs=1), shapes)
    fast = train(make_run(method, num_epochs=1, compile=True), shapes)
    for name, value in fast.model.state_dict().items():
        torch.testing.assert_close(value, plain.model.state_dict()[name], rtol=5e-3, atol=5e-4)


@pytest.mark.filterwarnings("default")  # the compiler's own
def test_traced_network_trains_the_same(make_run, study_data, shapes, monkeypatch):
    """All of torch.compile but the generated C++: passes for each width, and one pass for all."""
    study_data["widths"] = [1.0, 0.5]
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    torch._dynamo.reset()
    compare_compiled(make_run, shapes, "awn")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_every_fixed_width_is_compiled_however_many_there_are(make_run, study_data, shapes, monkeypatch):
    """Torch compiles a function so often only (eight times, here once), and says in its log alone that it stopped."""
    study_data["widths"] = [1.0, 0.5]
    graphs = []
    backend = partial(torch.compile, backend=lambda graph, _: graphs.append(graph) or graph.forward)
    monkeypatch.setattr(torch, "compile", backend)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=1):
        train(make_run("s_net", num_epochs=1, batch_size=50, compile=True), shapes)
        assert torch._dynamo.config.recompile_limit == 1
    assert len(graphs) == 2


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("cc") and shutil.which("c++")), reason="torch.compile needs a C compiler")
@pytest.mark.filterwarnings("default")
def test_compiled_network_trains_the_same(make_run, study_data, shapes):
    study_data["widths"] = [1.0, 0.5]
    torch._dynamo.reset()
    compare_compiled(make_run, shapes, "s_net")
