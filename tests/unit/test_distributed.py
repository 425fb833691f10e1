"""Training in several processes against a slow loop over the shares of each batch, and against one process."""

import dataclasses
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from torch import distributed as dist

from awnlib.data import TrainingImages
from awnlib.data import batches as batches_module
from awnlib.data.batches import step_order
from awnlib.jobs import distributed, resumable
from awnlib.jobs.checkpoint import load_tensors
from awnlib.jobs.distributed import average, launch
from awnlib.jobs.progress import Progress
from awnlib.jobs.records import DivergedError
from awnlib.layers.batchnorm import batchnorm_statistics
from awnlib.one_pass import is_any_width
from awnlib.seeding import rng
from awnlib.settings import ConfigError
from awnlib.tasks.classification import backward_one_pass, backward_widths
from awnlib.training.engine import build_model, create_optimizer, train
from awnlib.training.objectives import sample_widths
from tests.reference import wide

CPU = torch.device("cpu")


class StopError(Exception):
    """What stands for a kill."""


def stop_at_six(self, step, **values):
    if step == 6:
        raise StopError


@contextmanager
def float64():
    """Let models and images be float64, so that only mistakes are larger than 1e-10."""
    normalise = batches_module.normalise
    batches_module.normalise = lambda images, *numbers: normalise(images, *numbers).double()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
    batches_module.normalise = normalise


def train_all(cases, folder, device):
    """In each of two processes: train some runs, and the first one a second time with an interruption in it."""
    with float64():
        results = [train(run, data, device=device) for run, data in cases]
        states = [None, None]
        dist.all_gather_object(states, results[0].model.state_dict())
        resumable.CHECK_EVERY = 1
        update, Progress.update = Progress.update, stop_at_six
        arguments = {"checkpoint": folder / "checkpoint", "checkpoint_every_s": 0, "device": device}
        with pytest.raises(StopError):
            train(*cases[0], **arguments)
        Progress.update = update
        return results, train(*cases[0], **arguments), states


def train_in_shares(run, data):
    """Return the state after training a replica for each share: gradients and BN statistics are averaged by hand."""
    replicas = [build_model(run, data.image_shape, data.num_classes).train() for _ in range(run.train.num_processes)]
    optimizers = [create_optimizer(replica, run.train) for replica in replicas]
    images = TrainingImages(data, run.augment, CPU)
    size = run.train.batch_size // len(replicas)
    distinct = replicas[0].distinct_width_mults(include=run.widths)
    num_steps = run.train.num_epochs * (len(images) // run.train.batch_size)
    for step, indices in step_order(len(images), run.train.batch_size, seed=run.seed, steps=range(num_steps)):
        whole, labels = images.batch(indices, rng(run.seed, "augment", step))
        widths = sample_widths(run.method_settings, run.widths, rng(run.seed, "widths", step), distinct)
        for index, replica in enumerate(replicas):
            share = slice(index * size, (index + 1) * size)
            optimizers[index].zero_grad()
            backward = backward_one_pass if is_any_width(replica) else backward_widths
            backward(replica, whole[share], labels[share], widths, distillation=run.method_settings.distillation)
        for gradients in zip(*([p.grad for p in replica.parameters()] for replica in replicas), strict=True):
            mean = torch.stack(gradients).mean(0)
            for gradient in gradients:
                gradient.copy_(mean)
        for statistics in zip(*map(batchnorm_statistics, replicas), strict=True):
            mean = torch.stack(statistics).mean(0)
            for statistic in statistics:
                statistic.copy_(mean)
        for optimizer in optimizers:
            optimizer.step()
    return replicas[0].state_dict()


def assert_close(result, expected, *, without=(), **tolerance):
    for name, value in result.model.state_dict().items():
        if name.rpartition(".")[2] not in without:
            torch.testing.assert_close(
                value, expected[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance
            )


@pytest.mark.slow
def test_two_processes_are_the_slow_loop_over_shares_and_continue_to_the_same_bits(
    make_run, study_data, shapes, tmp_path
):
    study_data["datasets"]["shapes"]["augment"] = "crop_flip"
    settings = {"weight_decay": 0.01, "schedule": "constant"}
    runs = [make_run(method, num_processes=2, **settings) for method in ("us_net", "s_net", "awn_rs")]
    study_data["datasets"]["shapes"]["augment"] = "none"
    alone, together = (make_run("s_net", num_processes=count, **settings) for count in (1, 2))
    copies = dataclasses.replace(shapes, train_images=shapes.train_images[3].repeat(100, 1, 1, 1))
    cases = [*((run, shapes) for run in runs), (together, copies)]
    (*results, of_copies), continued, (state, other_state) = launch(partial(train_all, cases, tmp_path), 2, CPU)

    assert continued.resumed == 1
    assert (continued.history, continued.bn_statistics) == (results[0].history, results[0].bn_statistics)
    assert_close(continued, results[0].model.state_dict(), rtol=0, atol=0)
    assert_close(results[0], state, rtol=0, atol=0)
    assert_close(results[0], other_state, rtol=0, atol=0)
    with float64():
        for run, result in zip(runs, results, strict=True):
            assert_close(result, train_in_shares(run, shapes), rtol=1e-10, atol=1e-12)
        # Norms see the same in every share of identical images, so one process trains the same. (The stored variance
        # is the unbiased one, and n / (n - 1) is larger in a share.)
        expected = train(alone, copies)
        assert_close(of_copies, expected.model.state_dict(), without=["running_var"], rtol=1e-10, atol=1e-12)
    for ours, theirs in zip(wide(of_copies.history), wide(expected.history), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-10)


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_divergence_in_two_processes_is_that_of_one(make_run, shapes):
    run = make_run("s_net", lr=1.0e30, num_epochs=5, num_processes=2)
    with pytest.raises(DivergedError, match=r"iteration \d+: lower the learning rate"):
        train(run, shapes)


def fail(how, device):
    """Fail in process 1 while process 0 waits for its numbers."""
    if distributed.rank() == 1:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyError("nothing of this name")
    average([torch.ones(3)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "error", "words"),
    [("raised", KeyError, "nothing of this name"), ("killed", RuntimeError, "training process 1 was ended by SIGKILL")],
)
def test_process_that_fails_ends_the_others(how, error, words):
    started = time.monotonic()
    with pytest.raises(error, match=words):
        launch(partial(fail, how), 2, CPU)
    assert time.monotonic() - started < 60


def wait_for_sigterm(path, device):
    average([torch.ones(3)])
    if distributed.rank() == 0:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        path.touch()
    time.sleep(600)


@pytest.mark.slow
def test_sigterm_reaches_process_0_and_ends_all(tmp_path):
    path = tmp_path / "ready"

    def send():
        while not path.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(SystemExit) as caught:
        launch(partial(wait_for_sigterm, path), 2, CPU)
    assert caught.value.code == 143


@pytest.mark.slow
def test_sigterm_to_every_process_saves_the_state(make_run, shapes, tmp_path, monkeypatch, capfd):
    """As a scheduler sends it; process 1 gets it first, and process 0 needs it to finish its step."""
    path, children, start = tmp_path / "checkpoint", [], distributed._start
    monkeypatch.setattr(distributed, "_start", lambda *a, **k: children.append(start(*a, **k)) or children[-1])

    def send():
        while not path.exists():
            time.sleep(0.05)
        for child in reversed(children):
            child.terminate()
            time.sleep(1)

    threading.Thread(target=send, daemon=True).start()
    with pytest.raises(SystemExit) as caught:
        train(make_run("s_net", num_processes=2, num_epochs=10_000), shapes, checkpoint=path, checkpoint_every_s=0)
    assert caught.value.code == 143
    assert f"SIGTERM, stopped after step {load_tensors(path)[1]['step']}\n" in capfd.readouterr().err


# --- without other processes -----------------------------------------------------------------------------------------


def test_without_other_processes_nothing_happens():
    values = torch.tensor([1.0, 2.0])
    average([values])
    assert values.tolist() == [1.0, 2.0]
    assert (distributed.rank(), distributed.num_processes()) == (0, 1)


def test_more_processes_than_gpus_are_refused_before_work(make_run, shapes, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"train\.num_processes is 2, but torch sees 1 CUDA devices"):
        train(make_run(num_processes=2), shapes, device="cuda")


@pytest.mark.parametrize("count", [3, 20])
def test_batches_that_cannot_be_shared_are_refused(make_run, count):
    with pytest.raises(ConfigError, match=rf"divide batch_size \(20\) into equal shares of 2 .* found {count}"):
        make_run(num_processes=count)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_shares_add_up_to_the_batch(shapes, augment):
    images = TrainingImages(shapes, augment, CPU)
    common = {"batch_size": 20, "seed": 3}
    whole = list(images.batches(steps=range(12), **common))
    shares = [list(images.batches(steps=range(12), share=slice(i, i + 10), **common)) for i in (0, 10)]
    for (pixels, labels), *parts in zip(whole, *shares, strict=True):
        assert torch.equal(pixels, torch.cat([part for part, _ in parts]))
        assert torch.equal(labels, torch.cat([part for _, part in parts]))
    later = list(images.batches(steps=range(7, 12), **common))
    assert all(torch.equal(one, other) for one, other in zip(later[0], whole[7], strict=True))
    assert len(later) == 5
