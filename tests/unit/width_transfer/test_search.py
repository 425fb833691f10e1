"""Whole searches: networks, costs, interruptions, folds and wrong use, beside what all optimisers promise."""

import dataclasses
import signal

import pytest
import torch

from awnlib.data.splits import balanced_order, without_each_fold
from awnlib.jobs import hardware
from awnlib.jobs.checkpoint import CheckpointError, load_tensors, save_tensors
from awnlib.jobs.progress import Progress
from awnlib.models import ModelSpec, create_model
from awnlib.seeding import rng
from awnlib.settings import ConfigError
from awnlib.training.run import TrainConfig
from awnlib.training.schedule import learning_rate
from awnlib.width_transfer import autoslim, optimizer
from awnlib.width_transfer import search as module
from awnlib.width_transfer.autoslim import random_counts
from awnlib.width_transfer.costs import layer_costs
from awnlib.width_transfer.dmcp import DMCP
from awnlib.width_transfer.ledger import planned_autoslim, planned_dmcp, planned_morphnet
from awnlib.width_transfer.optimizer import Problem
from awnlib.width_transfer.options import parse_settings
from awnlib.width_transfer.search import search
from tests.unit.width_transfer.test_optimizers_conform import LENET, found, settings

# --- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "options", "optimizer"),
    [
        ("resnet18", {}, "dmcp"),
        ("mobilenet_v2", {"slim_last": True}, "dmcp"),
        ("mobilenet_v1", {}, "dmcp"),
        ("mobilenet_v1", {}, "morphnet"),
        ("resnet50", {}, "morphnet"),
    ],
)
def test_residual_and_depthwise_networks(shapes, model, options, optimizer):
    spec = ModelSpec(name=model, input_shape=(1, 16, 16), num_classes=10, base_width_mult=0.0625, **options)
    result = search(shapes, spec, settings(optimizer, num_epochs=2, batch_size=50))
    budget = result.vector.provenance["budget_macs"]
    assert 0.99 * budget <= result.vector.provenance["macs"] <= budget
    assert set(result.vector.multipliers) == set(Problem(shapes, spec).network.counts)
    built = result.vector.build(10, (1, 16, 16))
    assert {name: channels.full for name, channels in built.channels.items()} == result.vector.counts


def test_every_count_of_every_dimension_can_be_used(shapes):
    """Expansions have six times the channels of their input in plain networks, and the last convolution all of them."""
    spec = ModelSpec(name="mobilenet_v2", input_shape=(1, 16, 16), num_classes=10, base_width_mult=0.0625)
    one = module._create(Problem(shapes, spec), settings("autoslim"), 0, torch.device("cpu"))
    for name, full in one.full.items():
        for count in range(one.smallest[name], full + 1, max(1, full // 20)):
            one.model.set_widths(one.widths({**one.full, name: count}))
            assert one.model.channels[name].active == count


def test_bfloat16_on_a_cpu_without_it_is_said_before_the_first_step(shapes, monkeypatch, capsys):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")  # read by oneDNN when it starts, by us now
    hardware._say_once.cache_clear()
    search(shapes, LENET, settings("morphnet", precision="bfloat16"))
    assert "is far slower than float32 on this CPU" in capsys.readouterr().err.splitlines()[0]


# --- cost ------------------------------------------------------------------------------------------------------------


def test_cost_of_a_search_by_hand(shapes):
    """Two epochs of five steps of twenty images; the second one with steps of the architecture."""
    result = search(shapes, LENET, settings("dmcp"))

    def macs(c1, c2, c3):
        return 196 * 9 * c1 + 144 * 9 * c1 * c2 + 4 * 25 * c2 * c3 + c3 * 10

    entries = result.ledger.entries
    assert entries["supernet step, largest width, forward"] == 200 * macs(24, 24, 24)
    assert entries["supernet step, largest width, backward"] == 400 * macs(24, 24, 24)
    assert entries["supernet step, smallest width, forward"] == 200 * macs(10, 10, 10)
    assert entries["architecture step, forward"] == 100 * macs(24, 24, 24)
    assert entries["architecture step, backward"] == 100 * macs(24, 24, 24)  # of inputs alone
    assert result.vector.provenance["search_macs"] == result.ledger.total == sum(entries.values())


def test_cost_of_random_widths_and_of_slimming_by_hand(shapes):
    result = search(shapes, LENET, settings("autoslim"))
    problem, ends = Problem(shapes, LENET), ({}, {})
    for name in ("conv1", "conv2", "conv3"):
        ends[0][name], ends[1][name] = 6, 24
    drawn = 0
    for step in range(6):  # 70 images, two epochs
        generator = rng(0, "widths", step)
        drawn += sum(problem.macs(random_counts(*ends, generator)) for _ in range(2))
    assert result.ledger.entries["supernet step, random widths, forward"] == 20 * drawn
    evaluated = sum(row["macs"] for row in result.rows if row["step"])  # and the first network once
    first = next(row["macs"] for row in result.rows if row["step"] == 0)
    assert result.ledger.entries["evaluation, forward"] == 30 * (evaluated + first)
    assert "evaluation, backward" not in result.ledger.entries


# --- interruptions ---------------------------------------------------------------------------------------------------


def test_sigterm_saves_the_search_and_ends_it(shapes, tmp_path, monkeypatch, capsys):
    config = settings("morphnet")
    expected = search(shapes, LENET, config)
    original = Progress.update

    def update(self, *arguments, **values):
        original(self, *arguments, **values)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Progress, "update", update)
    with pytest.raises(SystemExit) as ended:
        search(shapes, LENET, config, checkpoint=tmp_path / "c", checkpoint_every_s=3600)
    assert ended.value.code == 143
    assert "SIGTERM, stopped after step 10" in capsys.readouterr().err
    monkeypatch.setattr(Progress, "update", original)
    assert load_tensors(tmp_path / "c")[1]["step"] == 10
    assert found(search(shapes, LENET, config, checkpoint=tmp_path / "c")) == found(expected)


@pytest.mark.parametrize("folds", [1, 2])
def test_time_is_that_of_all_attempts_and_folds(shapes, tmp_path, monkeypatch, folds):
    """A search that is read from its checkpoint, while the clock stands still."""
    config = settings("morphnet", folds=folds)
    first = search(shapes, LENET, config, checkpoint=tmp_path / "c.safetensors").seconds
    saved = [load_tensors(path)[1]["seconds"] for path in tmp_path.glob("c*")]
    assert len(saved) == folds
    assert first >= sum(saved) > 0
    monkeypatch.setattr(module.time, "monotonic", lambda: 5.0)
    again = search(shapes, LENET, config, checkpoint=tmp_path / "c.safetensors").seconds
    assert again == pytest.approx(sum(saved))


@pytest.mark.parametrize("change", ["seed", "budget", "settings", "data"])
def test_checkpoint_of_another_search_is_not_used(shapes, tmp_path, change):
    path, first = tmp_path / "c", settings("morphnet")
    search(shapes, LENET, first, checkpoint=path)
    data = dataclasses.replace(shapes, train_images=255 - shapes.train_images) if change == "data" else shapes
    config = settings("morphnet", lr=0.01) if change == "settings" else first
    options = {"seed": {"seed": 1}, "budget": {"budget": 300_000}}.get(change, {})
    assert found(search(data, LENET, config, checkpoint=path, **options)) == found(
        search(data, LENET, config, **options)
    )


def test_file_that_is_no_checkpoint_is_an_error(shapes, tmp_path):
    (tmp_path / "c").write_text("nothing")
    with pytest.raises(CheckpointError, match="damaged"):
        search(shapes, LENET, settings("dmcp"), checkpoint=tmp_path / "c")
    save_tensors(tmp_path / "c", {"a": torch.ones(1)}, {"rows": []})
    with pytest.raises(CheckpointError, match="is no resume point"):
        search(shapes, LENET, settings("dmcp"), checkpoint=tmp_path / "c")


# --- folds -----------------------------------------------------------------------------------------------------------


def test_folds_are_a_balanced_partition(shapes):
    parts = without_each_fold(shapes, 5, seed=0)
    assert [torch.bincount(part.train_labels).tolist() for part in parts] == [[8] * 10] * 5
    order = balanced_order(shapes, 0, "folds")
    assert sorted(order.tolist()) == list(range(100))
    assert not torch.equal(order, balanced_order(shapes, 1, "folds"))
    assert without_each_fold(shapes, 1, seed=0) == [shapes]


def test_unequal_classes_are_spread_over_every_stretch(shapes):
    labels = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    unequal = dataclasses.replace(shapes, train_labels=labels, classes=("a", "b", "c"))
    for stretch in labels[balanced_order(unequal, 0, "folds")].split(10):
        assert torch.bincount(stretch, minlength=3).sub(torch.tensor([6, 3, 1])).abs().max() <= 1


def test_folds_are_searched_alone_and_averaged(shapes, tmp_path):
    config = settings("autoslim", folds=2, bins=6)
    result = search(shapes, LENET, config, checkpoint=tmp_path / "c.safetensors")
    parts = without_each_fold(shapes, 2, seed=0)
    alone = [search(part, LENET, settings("autoslim", bins=6)) for part in parts]
    for index, fold in enumerate(alone):
        assert [row for row in result.rows if row["fold"] == index] == [{**row, "fold": index} for row in fold.rows]
    mean = {name: sum(fold.vector.multipliers[name] for fold in alone) / 2 for name in result.vector.multipliers}
    assert result.vector.multipliers == Problem(shapes, LENET).match(mean)
    assert result.ledger.total == sum(fold.ledger.total for fold in alone)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c_fold0.safetensors", "c_fold1.safetensors"]


def test_fold_without_a_class_is_an_error_before_training(shapes, monkeypatch):
    monkeypatch.setattr(optimizer, "backward_widths", lambda *_, **__: pytest.fail("a step was taken"))
    rare = dataclasses.replace(
        shapes,
        train_images=shapes.train_images[8:],
        train_labels=torch.where(shapes.train_labels == 3, 4, shapes.train_labels)[8:].index_fill(
            0, torch.arange(2), 3
        ),
    )
    with pytest.raises(ValueError, match=r"fold [123] of 3 has no image of class d"):
        search(rare, LENET, settings("dmcp", folds=3))


# --- wrong use -------------------------------------------------------------------------------------------------------


def test_unknown_optimizer_and_settings():
    with pytest.raises(
        ValueError, match=r"unknown width optimiser 'dcmp' \(allowed: uniform, morphnet, autoslim, dmcp\)"
    ):
        parse_settings("dcmp")
    with pytest.raises(ConfigError, match=r"autoslim\.bin: unknown key; did you mean 'bins'"):
        parse_settings("autoslim", {"bin": 3})
    with pytest.raises(ConfigError, match="nesterov needs a momentum above 0"):
        parse_settings("dmcp", {"momentum": 0.0})
    with pytest.raises(ConfigError, match=r"images_at_once must divide batch_size \(128\), found 100"):
        parse_settings("dmcp", {"images_at_once": 100})


@pytest.mark.parametrize(
    ("schedule", "quarter", "end"),
    [
        ("constant", 0.4, 0.4),
        ("linear", 0.4 * (0.2 + 0.8 * 0.75), 0.08),
        ("cosine", 0.4 * (0.2 + 0.4 * (1 + 0.5**0.5)), 0.08),
    ],
)
def test_learning_rates_by_hand(schedule, quarter, end):
    config = parse_settings("dmcp", {"lr": 0.4, "lr_end": 0.2, "schedule": schedule})
    rates = [learning_rate(config, progress, config.lr_end) for progress in (0.0, 0.25, 1.0)]
    assert rates == pytest.approx([0.4, quarter, end])


@pytest.mark.parametrize("schedule", ["multistep", "linear", "cosine", "constant"])
def test_a_search_has_the_schedule_of_training_with_its_warmup(shapes, monkeypatch, schedule):
    options = {"num_epochs": 4, "lr": 0.4, "schedule": schedule, "warmup_epochs": 1, "batch_size": 20}
    rates, step = [], torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD, "step", lambda sgd: rates.append(float(sgd.param_groups[0]["lr"])) or step(sgd)
    )
    search(shapes, LENET, parse_settings("morphnet", options))
    assert rates == pytest.approx([learning_rate(TrainConfig(**options), number / 20) for number in range(20)])
    assert rates[:6] == pytest.approx([0, 0.08, 0.16, 0.24, 0.32, 0.4])


def test_a_warmup_ends_before_the_search():
    with pytest.raises(ConfigError, match=r"dmcp: warmup_epochs must be less than num_epochs \(3\), found 3"):
        parse_settings("dmcp", {"num_epochs": 3, "warmup_epochs": 3})


# --- the cost on paper -----------------------------------------------------------------------------------------------


def enlarged_layers(enlargement):
    options = {**LENET.model_dump(), "layer": "sliced", "base_width_mult": enlargement * LENET.base_width_mult}
    return layer_costs(create_model(**options))


def test_morphnet_spends_what_was_planned(shapes):
    spent = search(shapes, LENET, settings("morphnet")).ledger
    assert planned_morphnet(enlarged_layers(1), num_images=200).entries == spent.entries


def test_dmcp_spends_what_was_planned(shapes):
    """Two epochs of a hundred images; the largest and smallest network exactly, random ones on average."""
    spent = search(shapes, LENET, settings("dmcp")).ledger.entries
    chains = DMCP(Problem(shapes, LENET), settings("dmcp"), 0, torch.device("cpu")).chains

    def candidates(channels):
        chain = chains.get(channels.name)
        return [channels.full] if chain is None else [chain.always + chain.size * n for n in range(chain.groups + 1)]

    planned = planned_dmcp(enlarged_layers(1.5), candidates, num_images=200).entries
    assert planned.keys() == spent.keys()
    for entry, macs in planned.items():
        assert spent[entry] == (pytest.approx(macs, rel=0.25) if "random" in entry else macs)


def test_autoslim_spends_what_was_planned(shapes):
    """Slimming takes a random path on paper."""
    config = settings("autoslim")
    spent = search(shapes, LENET, config).ledger.entries
    search_of = autoslim.AutoSlim(Problem(shapes, LENET), config, 0, torch.device("cpu"))

    def bins(channels):
        return sorted(search_of.bins.get(channels.name, [channels.full]))

    held_out = sum(len(labels) for _, labels in search_of.batches)
    num_images = 2 * (len(search_of.train_data.train_labels) // 20) * 20
    budget = search_of.problem.budget
    options = {"target_macs": budget, "evaluation_images": held_out}
    planned = planned_autoslim(enlarged_layers(1.5), bins, num_images, **options).entries
    assert planned.keys() == spent.keys()
    assert spent["supernet step, largest width, forward"] == planned["supernet step, largest width, forward"]
    for entry, macs in planned.items():
        assert spent[entry] == pytest.approx(macs, rel=0.4)
