"""A tiny run, interrupted wherever it may be, against the same run left alone; what is saved when, and wrong files."""

import dataclasses
import json
import signal
from functools import partial

import pytest
import torch

from awnlib.jobs import resumable
from awnlib.jobs.checkpoint import CheckpointError, load_tensors, save_tensors
from awnlib.jobs.code import job_code
from awnlib.jobs.interrupt import TERMINATED
from awnlib.jobs.progress import Progress
from awnlib.jobs.records import DivergedError
from awnlib.jobs.resumable import (
    check_finite,
    load_point,
    look,
    run_identity,
    run_resumable,
    save_point,
    training_tensors,
)

STEPS = 6


class StopError(Exception):
    """What stands for a kill."""


class TinyRun:
    """Six steps of SGD on random numbers, with a norm, and a meter that must go on counting."""

    def __init__(self, path, *, momentum=0.9, adam=False, identity=("tiny",)):
        self.path, self.identity = path, list(identity)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
        self.sgd = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=momentum)
        if adam:
            self.sgd = torch.optim.Adam(self.model.parameters(), lr=torch.tensor(0.1), fused=True)
        self.meter = torch.zeros((), dtype=torch.float64)
        self.step, self.rows, self.saved = 0, [], []
        point = load_point(path, self.identity, self.model, self.sgd, {"meter": self.meter})
        if point is not None:
            metadata, others = point
            assert others == {}
            self.step, self.rows = metadata["step"], metadata["rows"]

    def parts(self, disturb=None, looked_at=lambda _: True):
        while self.step < STEPS:
            self.sgd.zero_grad()
            loss = self.model(torch.randn(8, 3, generator=torch.Generator().manual_seed(self.step))).square().mean()
            loss.backward()
            self.sgd.step()
            self.meter += loss.detach()
            self.rows.append({"step": self.step, "loss": loss.item()})
            self.step += 1
            if disturb is not None:
                disturb(self.step)
            yield self.step, looked_at(self.step)

    def save(self):
        self.saved.append(self.step)
        tensors = training_tensors(self.model, self.sgd) | {"meter": self.meter}
        save_point(self.path, self.identity, tensors, {"step": self.step, "rows": self.rows})

    def run(self, *, every_s=0.0, **options):
        run_resumable(self.parts(**options), self.save, every_s, "tiny")
        return self

    def bits(self):
        tensors = training_tensors(self.model, self.sgd) | {"meter": self.meter}
        return {name: tensor.detach().numpy().tobytes() for name, tensor in tensors.items()}, self.rows


def raise_at(stop, step):
    if step == stop:
        raise StopError


def terminate_at(stop, step):
    if step == stop:
        signal.raise_signal(signal.SIGTERM)


# --- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.0}, {"adam": True}], ids=str)
@pytest.mark.parametrize("stop", range(1, STEPS + 1))
def test_run_killed_at_any_step_goes_on_to_the_same_bits(tmp_path, stop, options):
    """The kill comes before the step is saved, so that the step is taken again."""
    expected = TinyRun(tmp_path / "alone", **options).run()
    with pytest.raises(StopError):
        TinyRun(tmp_path / "c", **options).run(disturb=partial(raise_at, stop))
    assert (tmp_path / "c").exists() == (stop > 1)
    continued = TinyRun(tmp_path / "c", **options)
    assert continued.step == stop - 1
    assert continued.run().bits() == expected.bits()
    assert TinyRun(tmp_path / "c", **options).bits() == expected.bits()


@pytest.mark.parametrize("stop", range(1, STEPS + 1))
def test_sigterm_saves_the_step_in_which_it_came_and_ends_the_process(tmp_path, capsys, stop):
    """Also where nobody looked at the state; the handler of before is there again."""
    expected, handler = TinyRun(tmp_path / "alone").run(), signal.getsignal(signal.SIGTERM)
    run = TinyRun(tmp_path / "c")
    with pytest.raises(SystemExit) as ended:
        run.run(every_s=3600, disturb=partial(terminate_at, stop), looked_at=lambda _: False)
    assert ended.value.code == TERMINATED == 143
    assert capsys.readouterr().err == f"tiny: SIGTERM, stopped after step {stop}\n"
    assert run.saved == [stop]
    assert signal.getsignal(signal.SIGTERM) is handler
    assert TinyRun(tmp_path / "c").run().bits() == expected.bits()


def test_sigterm_ends_a_run_that_leaves_nothing(tmp_path):
    run = TinyRun(tmp_path / "c")
    with pytest.raises(SystemExit) as ended:
        run_resumable(run.parts(disturb=partial(terminate_at, 2)), None, 0.0, "tiny")
    assert ended.value.code == 143
    assert (run.step, run.path.exists()) == (2, False)


# --- what is saved, and when -----------------------------------------------------------------------------------------


def test_last_step_is_saved_once(tmp_path):
    assert TinyRun(tmp_path / "c").run(every_s=0.0).saved == [1, 2, 3, 4, 5, 6]
    assert TinyRun(tmp_path / "d").run(every_s=3600).saved == [6]


def test_time_saves_only_what_was_looked_at(tmp_path):
    assert TinyRun(tmp_path / "c").run(looked_at=lambda step: step % 2 == 0).saved == [2, 4, 6]
    assert TinyRun(tmp_path / "d").run(looked_at=lambda step: step == 4).saved == [4, 6]


def test_time_counts_from_the_last_save(tmp_path, monkeypatch):
    """A step takes ten seconds, and so does saving: the first save comes after step 3, the next one 30 s later."""
    run, clock = TinyRun(tmp_path / "c"), [0.0]
    monkeypatch.setattr(resumable.time, "monotonic", lambda: clock[0])
    save = run.save

    def pass_time(*_):
        clock[0] += 10

    run.save = lambda: pass_time() or save()
    assert run.run(every_s=25, disturb=pass_time).saved == [3, 6]


def test_momentum_is_saved_once_there_is_one(tmp_path):
    run = TinyRun(tmp_path / "c")
    assert not [name for name in training_tensors(run.model, run.sgd) if name.startswith("momentum.")]
    run.run()
    names = {f"model.{name}" for name in run.model.state_dict()}
    names |= {f"momentum.{name}" for name, _ in run.model.named_parameters()}
    assert set(training_tensors(run.model, run.sgd)) == names
    assert set(load_tensors(run.path)[0]) == names | {"meter"}


def test_memory_layout_of_the_momentum_is_that_of_the_weight(tmp_path):
    """Another one would give other sums on some devices."""

    def convolution():
        model = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    model, sgd = convolution()
    model(torch.ones(1, 3, 4, 4)).sum().backward()
    sgd.step()
    save_point(tmp_path / "c", [], training_tensors(model, sgd), {})
    other, other_sgd = convolution()
    assert load_point(tmp_path / "c", [], other, other_sgd, {}) == ({"identity": []}, {})
    momentum = other_sgd.state[other.weight]["momentum_buffer"]
    assert momentum.is_contiguous(memory_format=torch.channels_last)
    assert not momentum.requires_grad
    assert torch.equal(momentum, sgd.state[model.weight]["momentum_buffer"])


# --- files of others -------------------------------------------------------------------------------------------------


def test_resume_point_of_another_run_is_not_used_which_is_said(tmp_path, capsys):
    TinyRun(tmp_path / "c", identity=["other"]).run()
    run, untouched = TinyRun(tmp_path / "c"), TinyRun(tmp_path / "none")
    assert capsys.readouterr().err == f"{tmp_path / 'c'} is of other settings, images or code: starting anew\n"
    assert run.step == 0
    assert run.bits() == untouched.bits()
    run.run()
    assert json.dumps(load_tensors(tmp_path / "c")[1]["identity"]) == '["tiny"]'


def test_file_that_is_no_resume_point_is_an_error(tmp_path):
    path = tmp_path / "c"
    save_tensors(path, {"meter": torch.zeros(())}, {"step": 3, "rows": []})
    with pytest.raises(CheckpointError, match=rf"{path} is no resume point; delete it and run again"):
        TinyRun(path)
    path.write_bytes(b"half of a resume point")
    with pytest.raises(CheckpointError, match=rf"{path} is damaged .* delete it and run again"):
        TinyRun(path)


def test_identity_changes_with_all_that_a_run_depends_on(shapes, monkeypatch):
    first = run_identity(shapes.training_digest(), "train", "lenet_3c1l", "lr 1")
    negatives = dataclasses.replace(shapes, train_images=255 - shapes.train_images)
    assert (
        run_identity(shapes.training_digest(), "train", "lenet_3c1l", "lr 1") == first == json.loads(json.dumps(first))
    )
    others = [
        run_identity(shapes.training_digest(), "train", "lenet_3c1l", "lr 2"),
        run_identity(shapes.training_digest(), "train", "mobilenet_v2", "lr 1"),
        run_identity(shapes.training_digest(), "search", "lenet_3c1l", "lr 1"),
        run_identity(negatives.training_digest(), "train", "lenet_3c1l", "lr 1"),
    ]
    monkeypatch.setattr(torch, "__version__", "0.0")
    others.append(run_identity(shapes.training_digest(), "train", "lenet_3c1l", "lr 1"))
    assert first not in others


@pytest.mark.parametrize("stage", ["train", "search"])
def test_code_of_the_stage_belongs_to_the_identity(shapes, stage):
    assert job_code(stage, model="lenet_3c1l") in run_identity(shapes.training_digest(), stage, "lenet_3c1l")


# --- divergence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("the loss", torch.tensor(float("nan")), "the loss is nan"),
        ("the loss", torch.tensor(float("inf")), "the loss is inf"),
        ("conv1.weight", torch.tensor([[1.0, float("-inf")]]), "conv1.weight is not finite"),
    ],
)
def test_what_is_not_finite_is_named(name, value, words):
    check_finite({"count": torch.tensor(3), "weight": torch.ones(2)}, 7, "train.lr")
    with pytest.raises(DivergedError) as caught:
        check_finite({"weight": torch.ones(2), name: value}, 7, "train.lr")
    assert str(caught.value) == f"{words} at iteration 7: lower the learning rate (train.lr)"


def test_all_tensors_are_looked_at_with_one_wait_for_the_device(monkeypatch):
    """Each conversion of a tensor to a Python value is a wait."""
    waits = []
    for name in ("__bool__", "item", "tolist"):
        read = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, read=read: waits.append(1) or read(self))
    check_finite({str(index): torch.ones(index) for index in range(1, 50)}, 7, "train.lr")
    assert len(waits) == 1


def test_first_tensor_that_is_not_finite_is_named():
    tensors = {"a": torch.ones(2), "b": torch.tensor([torch.inf]), "c": torch.tensor([torch.nan])}
    with pytest.raises(DivergedError, match=r"^b is not finite"):
        check_finite(tensors, 7, "train.lr")


def test_one_step_in_twenty_and_the_last_are_looked_at(capsys):
    progress, shown = Progress(45, title="tiny", every_s=0.0), []

    def tensors():
        shown.append(step)
        return {"weight": torch.ones(2)}

    looked_at = []
    for step in range(1, 46):
        looked_at += [step] * look(progress, step, torch.tensor(0.5), 0.1, tensors, "lr")
    assert looked_at == shown == [20, 40, 45]
    lines = [f"tiny: step {step}/45, loss 0.5, lr 0.1" for step in (20, 40, 45)]
    assert capsys.readouterr().err.splitlines() == lines
    assert not look(progress, 19, torch.tensor(float("nan")), 0.1, tensors, "lr")
    with pytest.raises(DivergedError, match=r"the loss is nan at iteration 20: .* \(lr\)"):
        look(progress, 20, torch.tensor(float("nan")), 0.1, tensors, "lr")
