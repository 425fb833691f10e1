"""What every task promises, asked of each: `tests/tasks/<name>.json` says with which network, data and methods."""

import copy
import json
from pathlib import Path

import pytest
import torch

from awnlib.jobs import resumable
from awnlib.jobs.progress import Progress
from awnlib.results.schemas import read_table
from awnlib.settings import ConfigError
from awnlib.studies.widths.cells import runs
from awnlib.studies.widths.checks import check_networks
from awnlib.studies.widths.collect import collect
from awnlib.studies.widths.config import parse_study
from awnlib.tasks import (
    Distillation,
    Draw,
    Supervised,
    create_task,
    needs_data,
    task_distances,
    task_metrics,
    task_names,
    task_settings,
)
from awnlib.training.engine import build_model, train
from tests.conftest import CONFIGS, DATA, STUDY, finish

CASES = Path(__file__).parents[1] / "tasks"
TASKS = pytest.mark.parametrize("name", task_names())
WIDTHS = [1.0, 0.5]
EVERY_METHOD = [
    (name, method) for name in task_names() for method in json.loads((CASES / f"{name}.json").read_text())["methods"]
]


def case(name):
    return {"settings": {}, **json.loads((CASES / f"{name}.json").read_text(encoding="utf-8"))}


def study_of(name, methods=None, **changes):
    about = case(name)
    panel = {"model": about["model"], "dataset": about["data"] or "nothing", "test_set": about.get("test_set", "test")}
    data = copy.deepcopy(STUDY) | {"task": name, "task_settings": about["settings"], "widths": WIDTHS}
    data |= {
        "device": "cpu",
        "train": {"num_epochs": 2, "batch_size": 20, "lr": 0.01},
        "track": {"num_points": 2},
    } | changes
    data |= {"models": about.get("models", {})}
    data["datasets"] = {about["data"]: CONFIGS[about["data"]]} if about["data"] else {}
    data |= {"recalibration": {"num_images": 40}, "device": "cpu"}
    data["exhibits"]["any_width_networks.table2"] = {"panels": [panel], "methods": methods or about["methods"]}
    return parse_study(data)


def data_of(name):
    return DATA[case(name)["data"]]() if case(name)["data"] else None


def run_of(name, method, **changes):
    return runs(study_of(name, [method], **changes))[0]


def begun(name, method):
    run = run_of(name, method)
    task = create_task(name, run.task_settings, data_of(name))
    model = build_model(run, *task.network_shape()).train()
    task.begin(run, model)
    return task, model


def bits(result):
    return [(key, value.numpy().tobytes()) for key, value in result.model.state_dict().items()], result.history


@TASKS
def test_metrics_are_the_same_with_and_without_torch(name):
    metrics, task = task_metrics(name), create_task(name, data=data_of(name))
    assert task.metrics == metrics
    names = [metric.name for metric in metrics]
    assert len(set(names)) == len(names) >= 1
    assert {task.loss_metric, *task.monitored} <= set(names)
    assert task.loss_metric not in task.monitored


@TASKS
def test_unknown_settings_are_refused(name):
    with pytest.raises(ConfigError, match=r"task_settings\.nonsense: unknown key"):
        task_settings(name, {"nonsense": 1})


@TASKS
def test_a_study_of_the_task_names_it_and_is_checked(name):
    study = study_of(name)
    assert parse_study(study.model_dump()) == study
    check_networks(study)
    assert bool(study.datasets) == needs_data(name)
    assert runs(study)[0].training_settings().get("task", "classification") == name


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_a_step_adds_gradients_and_reports_each_width(name, method):
    task, model = begun(name, method)
    observed = []
    found = task.step(model, Draw(0, WIDTHS, observe=lambda inputs, _=None: observed.append(inputs)))
    assert found.losses.shape == (2,)
    assert found.losses.isfinite().all()
    assert found.sums.keys() == set(task.monitored)
    assert all(values.shape == (2,) for values in found.sums.values())
    assert not any(values.requires_grad for values in (found.losses, *found.sums.values()))
    assert found.num_examples >= 1
    assert any(parameter.grad.any() for parameter in model.parameters())
    assert len(observed) == 1
    assert task.epoch_steps >= 1


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
@pytest.mark.parametrize("distillation", [None, Distillation()], ids=["labels", "distilled"])
def test_the_loss_that_observers_are_given_is_that_of_the_step(name, method, distillation):
    """Of tasks that give one: of each width's outputs, and of the first one's if it is to learn from them."""
    task, model = begun(name, method)
    losses = []

    def observe(inputs, loss=None):
        network, teacher = model.view(), None
        for width in WIDTHS if loss is not None else []:
            network.set_width_mult(width)
            outputs = network(inputs)
            losses.append(loss(outputs, teacher).detach())
            teacher = outputs.detach() if teacher is None else teacher

    found = task.step(model, Draw(0, WIDTHS, distillation, observe=observe))
    if losses:
        torch.testing.assert_close(torch.stack(losses), found.losses, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_gradients_are_those_of_the_sum_of_the_losses(name, method, monkeypatch):
    """The widths of a step one by one, each in a pass of its own, from the same state, add up to the step."""
    task, model = begun(name, method)
    whole = task.step(model, Draw(0, WIDTHS))
    summed = [parameter.grad.clone() for parameter in model.parameters()]
    monkeypatch.setattr("awnlib.tasks._supervised.is_any_width", lambda model: False)
    parts = []
    for index in range(len(WIDTHS)):
        task, model = begun(name, method)
        parts.append((task.step(model, Draw(0, WIDTHS[index : index + 1])).losses, list(model.parameters())))
    torch.testing.assert_close(whole.losses, torch.cat([losses for losses, _ in parts]), rtol=1e-4, atol=1e-6)
    for total, *each in zip(summed, *(parameters for _, parameters in parts), strict=True):
        alone = sum(parameter.grad for parameter in each if parameter.grad is not None)
        torch.testing.assert_close(total, alone, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_labels_have_their_share_in_the_losses_of_narrower_widths(name, method):
    learnt = []
    for distance in (None, *task_distances(name)):
        losses = []
        for rule in (None, Distillation(distance), Distillation(distance, label_share=0.3)):
            task, model = begun(name, method)
            losses.append(task.step(model, Draw(0, WIDTHS, distillation=rule)).losses)
        if isinstance(task, Supervised):  # others may have no labels
            hard, distilled, mixed = losses
            assert hard[0] == distilled[0] == mixed[0]
            torch.testing.assert_close(mixed[1], 0.3 * hard[1] + 0.7 * distilled[1])
            learnt.append(bool(hard[1] != distilled[1]))
    assert any(learnt) or not isinstance(task, Supervised)


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_the_seed_decides_every_bit_and_nothing_else_does(name, method):
    run, data = run_of(name, method), data_of(name)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = train(run, data)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert bits(train(run, data)) == bits(first)
    assert bits(train(run_of(name, method, seeds=[1]), data)) != bits(first)


class StopError(Exception):
    """What stands for a kill."""


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_a_continued_training_is_the_uninterrupted_one(name, method, tmp_path, monkeypatch):
    run, data = run_of(name, method), data_of(name)
    whole = train(run, data)
    monkeypatch.setattr(resumable, "CHECK_EVERY", 1)
    update = Progress.update
    for stop in (2, whole.num_steps - 1):

        def stopping(self, step, stop=stop, **values):
            if step == stop:
                raise StopError
            update(self, step, **values)

        monkeypatch.setattr(Progress, "update", stopping)
        with pytest.raises(StopError):
            train(run, data, checkpoint=tmp_path / "c", checkpoint_every_s=0)
    monkeypatch.setattr(Progress, "update", update)
    again = train(run, data, checkpoint=tmp_path / "c", checkpoint_every_s=0)
    assert again.resumed == 2
    assert bits(again) == bits(whole)


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_the_history_has_every_metric_of_each_epoch(name, method):
    result, task = train(run_of(name, method), data_of(name)), create_task(name, data=data_of(name))
    expected = [metric.name for metric in task.metrics if metric.name in (task.loss_metric, *task.monitored)]
    of_steps = [row for row in result.history if row["metric"] in expected]
    groups = [of_steps[start : start + len(expected)] for start in range(0, len(of_steps), len(expected))]
    for group in groups:
        assert [row["metric"] for row in group] == expected
        assert len({(row["epoch"], row["width_mult"]) for row in group}) == 1
    assert {row["epoch"] for row in result.history} == {1, 2}
    assert {row["metric"] for row in result.history} <= {metric.name for metric in task.metrics}
    keys = [(row["epoch"], row["width_mult"], row["metric"]) for row in result.history]
    assert len(set(keys)) == len(keys)
    assert all(isinstance(row["score"], float) for row in result.history)


@pytest.mark.parametrize(("name", "method"), EVERY_METHOD)
def test_evaluation_changes_nothing_and_repeats_itself(name, method):
    task, model = begun(name, method)
    model.eval()
    before = copy.deepcopy(model.state_dict())
    rows = task.evaluate(model, WIDTHS)
    assert task.evaluate(model, WIDTHS) == rows
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    keys = [(row["width_mult"], row["test_set"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {width_mult for width_mult, _, _ in keys} == set(WIDTHS)
    ordered = [metric.name for metric in task.metrics]
    for width_mult, test_set, _ in keys:
        named = [metric for width, place, metric in keys if (width, place) == (width_mult, test_set)]
        assert named == [metric for metric in ordered if metric in named]
        assert ordered[0] in named
    assert all(row.keys() == {"width_mult", "test_set", "metric", "score", "num_images"} for row in rows)
    assert all(row["num_images"] is None or row["num_images"] > 0 for row in rows)


@TASKS
def test_inputs_for_statistics_follow_the_seed(name):
    task = create_task(name, data=data_of(name))
    first, again, other = (task.training_inputs(30, 20, seed=seed) for seed in (3, 3, 4))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert sum(map(len, first)) in (0, 30)
    assert not first or not torch.equal(first[0], other[0])


@TASKS
def test_all_jobs_of_a_study_end_in_its_tables(name, tmp_path):
    study = study_of(name)
    finish(study, data_of(name), tmp_path)
    collect(study, tmp_path, tmp_path / "tables")
    found = {
        table: read_table(tmp_path / "tables" / f"{table}.parquet")
        for table in ("runs", "evaluations", "sweep", "history")
    }
    assert set(found["runs"]["state"]) == set(found["evaluations"]["state"]) == {"ok"}, list(found["runs"]["error"])
    assert set(found["sweep"]["method"]) == set(case(name)["methods"])
    primary = task_metrics(name)[0]
    scores = found["sweep"][found["sweep"]["metric"] == primary.name]
    assert scores["score"].notna().all()
    if primary.summary == "auc":
        (best,) = found["evaluations"].query("method == @scores.method.iloc[0] and metric == @primary.name")["score"][
            :1
        ]
        assert scores["score"].min() <= best <= scores["score"].max()
