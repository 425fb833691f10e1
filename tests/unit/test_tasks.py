"""What is known of tasks without making one, and the contract's defaults."""

import pytest
import torch

from awnlib.jobs.progress import Progress
from awnlib.settings import ConfigError, Settings
from awnlib.tasks import (
    Metric,
    StepResult,
    Task,
    check_distance,
    create_task,
    task_distances,
    task_metrics,
    task_names,
    task_settings,
)
from awnlib.training.engine import train


class Nothing(Task):
    """A task that says no more than it must."""

    metrics = (Metric("found", "", True, "found", "found"),)
    loss_metric = "found"

    def network_shape(self):
        return (1, 1, 1), 1

    def begin(self, run, model, **_):
        self.epoch_steps = 1

    def step(self, model, draw):
        return StepResult(torch.zeros(len(draw.width_mults)))

    def evaluate(self, model, width_mults):
        return []


def test_metrics_are_data():
    top1, loss = task_metrics("classification")
    assert (top1.name, top1.unit, top1.higher_is_better, top1.summary) == ("top1_pct", "%", True, "auc")
    assert (loss.name, loss.unit, loss.higher_is_better, loss.summary) == ("loss_nats", "nats", False, None)


def test_words_of_a_metric_follow_from_its_unit():
    metrics = [*task_metrics("classification"), *task_metrics("super_resolution")[:2]]
    assert [metric.words for metric in metrics] == ["percentage points", "nats", "dB", ""]
    assert [metric.summary_label for metric in metrics] == ["AUC, %", "AUC, nats", "AUC, dB", "AUC"]
    top1, loss = metrics[:2]
    assert top1.better(2, 1)
    assert loss.better(1, 2)
    assert not top1.better(1, 1)
    assert not loss.better(1, 1)


def test_unknown_names_are_refused_with_those_there_are():
    for ask in (create_task, task_metrics, lambda name: task_settings(name, {})):
        with pytest.raises(ValueError, match=rf"unknown task 'chess' \(allowed: {', '.join(task_names())}\)"):
            ask("chess")


@pytest.mark.parametrize(
    "text", ["", "METRICS = 1", "METRICS = (Metric(name=NAME),)", "METRICS = (Metric(label='x'),)", "METRICS = (1,)"]
)
def test_metrics_that_cannot_be_read_are_refused(text, tmp_path, monkeypatch):
    (tmp_path / "chess.py").write_text(text)
    monkeypatch.setattr("awnlib.tasks.__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(ValueError, match=r"chess\.py: METRICS must be a tuple of Metric"):
        task_metrics("chess")


def test_other_distances_are_those_of_the_task_s_file(tmp_path, monkeypatch):
    assert task_distances("classification") == ("alpha_divergence",)
    check_distance("classification", "alpha_divergence")
    (tmp_path / "chess.py").write_text("METRICS = ()")
    monkeypatch.setattr("awnlib.tasks.__file__", str(tmp_path / "__init__.py"))
    check_distance("chess", None)
    with pytest.raises(ValueError, match=r"no distance 'alpha_divergence' in the task 'chess' \(allowed: null\)"):
        check_distance("chess", "alpha_divergence")


def test_a_task_without_settings_has_none():
    assert task_settings("classification", {}) == Settings()
    with pytest.raises(ConfigError, match=r"task_settings.depth: unknown key \(allowed: \)"):
        task_settings("classification", {"depth": 1})


def test_what_a_task_need_not_say():
    task = Nothing()
    assert task.training_digest() == ""
    assert task.training_inputs(10, 5, seed=0) == []
    assert task.state() == {}
    task.load_state({})
    assert task.end_epoch(None, [1.0]) == []
    assert task.progress() == {}


def test_a_task_must_say_the_rest():
    for name in ("network_shape", "begin", "step", "evaluate"):
        partial = type("Partial", (Nothing,), {name: getattr(Task, name)})
        with pytest.raises(TypeError, match=f"abstract method '?{name}"):
            partial()


def test_what_is_measured_where_an_epoch_ends_is_in_the_history(make_run, shapes, monkeypatch):
    """At the width that an individual network stands for; and the log shows what the task has to say."""
    asked, shown = [], []

    def measure(self, model, width_mults):
        asked.append((model.training, list(width_mults)))
        return [{"width_mult": width_mult, "metric": "loss_nats", "score": 7.0} for width_mult in width_mults]

    monkeypatch.setattr(Task, "end_epoch", measure)
    monkeypatch.setattr(Task, "progress", lambda self: {"games": 3.0})
    monkeypatch.setattr(Progress, "update", lambda self, step, **values: shown.append(values))
    for method, widths, named in (("awn", [1.0, 0.75, 0.5, 0.25], [1.0, 0.75, 0.5, 0.25]), ("i_net", [1.0], [0.75])):
        run = make_run(method, individual=1 if method == "i_net" else 0)
        found = [row for row in train(run, shapes).history if row["score"] == 7.0]
        assert asked == [(True, widths)] * 2
        assert [row["width_mult"] for row in found] == 2 * named
        assert [(row["epoch"], row["step"]) for row in found[:: len(named)]] == [(1, 5), (2, 10)]
        asked.clear()
    assert all(values["games"] == 3.0 for values in shown)
