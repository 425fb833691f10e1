"""What every width optimiser promises, asked of each one that has settings (`awnlib.width_transfer.options.SETTINGS`).

    pytest tests/unit/width_transfer/test_optimizers_conform.py -k my_optimizer

asks it of one that is new.
"""

import dataclasses
import json

import pytest
import torch

from awnlib.jobs import resumable
from awnlib.jobs.checkpoint import load_tensors
from awnlib.jobs.progress import Progress
from awnlib.jobs.records import DivergedError
from awnlib.models import ModelSpec, create_model
from awnlib.results.schemas import read_table
from awnlib.width_transfer import search as module
from awnlib.width_transfer.ledger import Ledger
from awnlib.width_transfer.optimizer import Problem
from awnlib.width_transfer.options import SETTINGS, SupernetSettings, parse_settings
from awnlib.width_transfer.search import search
from awnlib.width_transfer.vector import WidthVector

LENET = ModelSpec(name="lenet_3c1l", input_shape=(1, 16, 16), num_classes=10, base_width_mult=0.5)
TRAINED = [name for name, kind in SETTINGS.items() if issubclass(kind, SupernetSettings)]


def known(name, **options):
    """Those of the options that an optimiser has."""
    return {key: value for key, value in options.items() if key in SETTINGS[name].model_fields}


def settings(name, **options):
    """A search of two epochs; the options replace what makes it short."""
    return parse_settings(name, {**known(name, num_epochs=2, batch_size=20, bins=4, held_out=0.3), **options})


def found(result):
    return result.vector.multipliers, result.rows, result.ledger.entries


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_vector_fits_the_budget_and_its_network(shapes, name, share, tmp_path):
    """The ledger adds up, the vector builds a network of its counts, and files hold both."""
    problem = Problem(shapes, LENET)
    budget = int(share * problem.budget)
    result = search(shapes, LENET, settings(name), budget=budget, seed=3)
    vector = result.vector
    macs = problem.macs(vector.counts)
    assert (1.0 if name != "uniform" else 0.9) * macs <= budget
    assert macs >= (0.99 if name != "uniform" else 0.9) * budget
    assert vector.provenance["macs"] == macs
    assert vector.provenance["budget_macs"] == budget
    assert vector.provenance["optimizer"] == name
    assert vector.network.counts == {"conv1": 16, "conv2": 16, "conv3": 16}
    if name == "uniform":
        assert len(set(vector.multipliers.values())) == 1
    assert vector.provenance["search_macs"] == result.ledger.total == sum(result.ledger.entries.values())
    assert (result.ledger.total > 0) == bool(result.rows) == (name in TRAINED)
    assert (vector.provenance["seed"], vector.provenance["data"]["name"]) == (3, "shapes")
    assert vector.provenance["settings"] == settings(name).model_dump()
    vector.check_fits(create_model(**LENET.model_dump()))
    built = vector.build(10, (1, 16, 16))
    assert {key: channels.full for key, channels in built.channels.items()} == vector.counts
    result.save(tmp_path)
    assert WidthVector.load(tmp_path / "widths.json") == vector
    assert json.loads((tmp_path / "ledger.json").read_text())["total"] == result.ledger.total
    table = tmp_path / "width_search.parquet"
    assert table.exists() == bool(result.rows)
    if result.rows:
        columns = ["step", "channels", "count", "macs", "accepted"]
        rows = [{column: row[column] for column in columns} for row in result.rows]
        assert read_table(table)[columns].to_dict("records") == rows


@pytest.mark.parametrize("name", TRAINED)
def test_bfloat16(shapes, name):
    result = search(shapes, LENET, settings(name, precision="bfloat16"))
    assert result.vector.provenance["macs"] >= 0.99 * result.vector.provenance["budget_macs"]


@pytest.mark.parametrize("name", TRAINED)
def test_training_lowers_the_loss_and_only_seed_and_training_images_decide(shapes, name, monkeypatch):
    """The global random state is neither used nor changed, and test images are not needed."""
    losses, state = [], torch.get_rng_state()
    blind = dataclasses.replace(shapes, test_images=shapes.test_images[:0], test_labels=shapes.test_labels[:0])
    update = Progress.update

    def watch(self, step, **values):
        losses.extend([values["loss"]] if "loss" in values else [])
        update(self, step, **values)

    monkeypatch.setattr(Progress, "update", watch)
    monkeypatch.setattr(resumable, "CHECK_EVERY", 1)
    long = settings(name, num_epochs=5)
    first = search(shapes, LENET, long)
    assert losses[-1] < 0.8 * losses[0]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert found(search(blind, LENET, long)) == found(first)
    assert found(search(shapes, LENET, long, seed=1)) != found(first)


@pytest.mark.parametrize("name", TRAINED)
def test_a_batch_in_parts_has_the_mean_of_their_gradients_and_the_same_cost(shapes, name, monkeypatch):
    """Each part has its own BN statistics, so that it is not the gradient of the whole batch."""
    problem, config = Problem(shapes, LENET), settings(name, images_at_once=10)
    in_parts, slow = (module._Search(module._create(problem, config, 0, torch.device("cpu"))) for _ in range(2))
    images, labels = next(in_parts.images.batches(20, seed=0, steps=range(1)))
    gradients = []
    for part in (slice(0, 10), slice(10, 20)):
        slow.sgd.zero_grad()
        slow.optimizer.backward(images[part], labels[part], 0, 0.0)
        gradients.append([parameter.grad.clone() for parameter in slow.model.parameters()])
    monkeypatch.setattr(in_parts.sgd, "step", lambda: None)
    in_parts._take_step(images, labels)
    for parameter, one, two in zip(in_parts.model.parameters(), *gradients, strict=True):
        torch.testing.assert_close(parameter.grad, (one + two) / 2)
    assert in_parts.optimizer.ledger.entries == slow.optimizer.ledger.entries


class StopError(Exception):
    """What stands for a kill."""


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("stops", [(2, 3, 1), (8,)])
def test_resumed_search_is_the_uninterrupted_one(shapes, tmp_path, monkeypatch, name, stops):
    """Stops in both epochs and, where there is work after training (AutoSlim's slimming), in that."""
    config = settings(name, augment="crop_flip", **known(name, slim_to_smallest=True))
    expected = search(shapes, LENET, config)
    monkeypatch.setattr(resumable, "CHECK_EVERY", 1)
    original = Progress.update
    for stop in stops:
        calls = iter(range(stop))

        def stopping(self, step, calls=calls, **values):
            if next(calls, None) is None:
                raise StopError
            original(self, step, **values)

        monkeypatch.setattr(Progress, "update", stopping)
        with pytest.raises(StopError):
            search(shapes, LENET, config, checkpoint=tmp_path / "c", checkpoint_every_s=0)
    monkeypatch.setattr(Progress, "update", original)
    result = search(shapes, LENET, config, checkpoint=tmp_path / "c", checkpoint_every_s=0)
    assert found(result) == found(expected)
    assert load_tensors(tmp_path / "c")[1]["step"] == 2 * (config.images_left(100) // 20)


@pytest.mark.parametrize("name", TRAINED)
def test_finished_search_is_read_from_its_checkpoint(shapes, tmp_path, monkeypatch, name):
    expected = search(shapes, LENET, settings(name), checkpoint=tmp_path / "c")
    monkeypatch.setattr(Ledger, "spend", lambda *_, **__: pytest.fail("something was computed"))
    assert found(search(shapes, LENET, settings(name), checkpoint=tmp_path / "c")) == found(expected)


@pytest.mark.parametrize("name", TRAINED)
def test_divergence_is_found(shapes, name, tmp_path):
    with pytest.raises(DivergedError, match=r"is (nan|inf|not finite) at iteration .* \(lr\)"):
        search(shapes, LENET, settings(name, lr=1e30, schedule="constant"), checkpoint=tmp_path / "c")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", SETTINGS)
def test_budgets_out_of_reach_are_refused_before_training(shapes, name, monkeypatch):
    """Those below its smallest network, or above the network in training if its result cannot be wider."""
    monkeypatch.setattr(module._Search, "_take_step", lambda *_: pytest.fail("a step was taken"))
    device = torch.device("cpu")

    def create(budget=None):
        return module._create(Problem(shapes, LENET, budget), settings(name), 0, device)

    plain, ones = create(), dict.fromkeys(create_model(**LENET.model_dump()).channels, 1)
    low = plain.problem.macs(getattr(plain, "smallest", ones))
    assert create(low)
    with pytest.raises(ValueError, match=rf"the budget must be .*{low:,} .*MACs .* found {low - 1:,}"):
        search(shapes, LENET, settings(name), budget=low - 1)
    if name in ("uniform", "morphnet"):
        assert create(5 * plain.problem.budget)
        return
    high = plain.problem.macs(plain.full)
    assert create(high)
    with pytest.raises(ValueError, match=rf"between {low:,} and {high:,} MACs .* found {high + 1:,}"):
        search(shapes, LENET, settings(name), budget=high + 1)


@pytest.mark.parametrize("name", TRAINED)
def test_batches_larger_than_the_data_are_refused(shapes, name):
    with pytest.raises(ValueError, match="batch_size 101 is more than"):
        search(shapes, LENET, settings(name, batch_size=101))
