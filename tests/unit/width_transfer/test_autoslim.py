"""AutoSlim's bins, random widths and greedy choice against brute force."""

import dataclasses

import pytest
import torch

from awnlib.evaluation.slimming import slimmed_counts
from awnlib.models import ModelSpec
from awnlib.seeding import rng
from awnlib.width_transfer.autoslim import AutoSlim, random_counts
from awnlib.width_transfer.optimizer import Problem
from awnlib.width_transfer.options import AutoSlimSettings

LENET = ModelSpec(name="lenet_3c1l", input_shape=(1, 16, 16), num_classes=10, base_width_mult=0.25)
CPU = torch.device("cpu")


def search(shapes, budget=None, **settings):
    return AutoSlim(Problem(shapes, LENET, budget), AutoSlimSettings(**{"bins": 4, **settings}), 0, CPU)


def slim(optimizer):
    while optimizer.refine():
        pass
    return optimizer


@pytest.fixture
def errors(monkeypatch):
    """Replace the measured error by one that is the larger the fewer channels, and by dimension differs in weight."""

    def error(self, counts):
        return -(3 * counts["conv1"] + counts["conv2"] + 2 * counts["conv3"]) + 0.3 * counts["conv1"] * counts["conv3"]

    monkeypatch.setattr(AutoSlim, "error_pct", error)
    return error


def test_random_counts_are_independent_and_reach_both_ends():
    generator = rng(0, "test")
    drawn = [random_counts({"a": 2, "b": 1}, {"a": 6, "b": 3}, generator) for _ in range(300)]
    assert {counts["a"] for counts in drawn} == {2, 3, 4, 5, 6}
    assert len({(counts["a"], counts["b"]) for counts in drawn}) == 15


def test_greedy_slimming_is_brute_force(shapes, errors):
    optimizer = slim(search(shapes, min_width_mult=0.3))
    counts, bins = dict(optimizer.full), optimizer.bins
    path = [dict(counts)]
    while optimizer.problem.macs(counts) > optimizer.problem.budget:
        options = []
        for name in sorted(counts):
            if counts[name] > bins[name][-1]:
                fewer = {**counts, name: bins[name][bins[name].index(counts[name]) + 1]}
                options.append((errors(None, fewer), name, fewer))
        counts = min(options, key=lambda option: option[:2])[2]
        path.append(counts)
    assert optimizer.counts == counts
    accepted = [row for row in optimizer.rows if row["accepted"] and row["step"]]
    assert len(accepted) == len(path) - 1
    for row, before, after in zip(accepted, path, path[1:], strict=False):
        assert before[row["channels"]] != after[row["channels"]] == row["count"]
        assert row["macs"] == optimizer.problem.macs(after)
    tried = [row for row in optimizer.rows if row["step"] == 1]
    assert [row["channels"] for row in tried] == ["conv1", "conv2", "conv3"]
    assert [row["error_pct"] for row in tried] == [
        errors(None, {**path[0], name: bins[name][1]}) for name in ("conv1", "conv2", "conv3")
    ]


def test_ties_go_to_the_first_name(shapes, monkeypatch):
    monkeypatch.setattr(AutoSlim, "error_pct", lambda self, counts: 50.0)
    optimizer = search(shapes)
    optimizer.refine()
    assert [row["channels"] for row in optimizer.rows if row["step"] == 1 and row["accepted"]] == ["conv1"]


def test_every_budget_can_be_read_off_a_whole_slimming(shapes, errors):
    whole = slim(search(shapes, slim_to_smallest=True))
    assert whole.counts == whole.smallest
    assert whole.rows[-1]["step"] == whole.refinements
    for share in (0.3, 0.6, 1.0, 1.5):
        budget = int(share * whole.problem.budget)
        alone = slim(search(shapes, budget=budget))
        assert slimmed_counts(whole.rows, budget) == alone.counts
        assert slimmed_counts(alone.rows, budget) == alone.counts
        assert alone.multipliers() == alone.problem.multipliers(alone.counts)
    assert slimmed_counts(whole.rows, 10**9) == whole.full
    with pytest.raises(ValueError, match="slimming ended at"):
        slimmed_counts(alone.rows, alone.problem.macs(alone.smallest))


def test_error_is_measured_with_statistics_of_the_batch(shapes):
    optimizer = search(shapes, held_out=0.5, num_images=40, evaluation_batch_size=15)
    assert [len(labels) for _, labels in optimizer.batches] == [14, 14, 12]
    counts = {"conv1": 5, "conv2": 7, "conv3": 3}
    with torch.no_grad():
        for norm in (norm for _, norm in optimizer.model.norms()):
            norm.running_mean.fill_(1e6)  # statistics of another width would ruin all
    error = optimizer.error_pct(counts)
    wrong = 0
    optimizer.model.set_widths({name: counts[name] / 12 for name in counts})
    with torch.no_grad():
        for images, labels in optimizer.batches:
            x = images
            for conv, pool in (("1", 1), ("2", 2), ("3", 2)):
                x = getattr(optimizer.model, f"conv{conv}")(x)
                x = (x - x.mean((0, 2, 3), keepdim=True)) / (
                    x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5
                ).sqrt()
                x = torch.nn.functional.max_pool2d(x.relu(), pool)
            wrong += int((optimizer.model.classifier(x.flatten(1)).argmax(1) != labels).sum())
    assert error == pytest.approx(100 * wrong / 40)
    assert optimizer.ledger.total == 40 * optimizer.problem.macs(counts)


def test_held_out_images_are_not_trained_and_have_all_classes(shapes):
    marked = dataclasses.replace(shapes, train_images=shapes.train_images.clone())
    marked.train_images[:, 0, 0, 0] = torch.arange(100, dtype=torch.uint8)  # each image says which one it is
    optimizer = search(marked, held_out=0.3)
    assert torch.bincount(optimizer.train_data.train_labels).tolist() == [7] * 10
    trained = set(optimizer.train_data.train_images[:, 0, 0, 0].tolist())
    images = torch.cat([images for images, _ in optimizer.batches])[:, 0, 0, 0]
    held = set(((images * marked.std[0] + marked.mean[0]) * 255).round().int().tolist())
    assert len(trained) == 70
    assert held == set(range(100)) - trained


def test_too_few_images_to_hold_out_is_an_error(shapes):
    with pytest.raises(ValueError, match=r"the held-out 0.05 of the training images has no image of class"):
        search(shapes, held_out=0.05)


def test_gradients_are_those_of_the_sandwich(shapes):
    """The largest network learns the labels, all others its output; the slow version has one graph for all."""
    optimizer = search(shapes)
    images, labels = shapes.train_images[:20].float() / 255, shapes.train_labels[:20]
    optimizer.backward(images, labels, 7, 0.0)
    model, generator = optimizer.model, rng(0, "widths", 7)
    found = [parameter.grad.clone() for parameter in model.parameters()]
    drawn = [random_counts(optimizer.smallest, optimizer.full, generator) for _ in range(2)]
    losses, teacher = [], None
    for counts in (optimizer.full, optimizer.smallest, *drawn):
        model.set_widths({name: counts[name] / full for name, full in optimizer.full.items()})
        logits = model(images)
        if teacher is None:
            teacher = logits.detach().softmax(1)
            losses.append(torch.nn.functional.cross_entropy(logits, labels))
        else:
            losses.append(-(teacher * logits.log_softmax(1)).sum(1).mean())
    expected = torch.autograd.grad(sum(losses), list(model.parameters()))
    torch.testing.assert_close(found, list(expected), rtol=1e-3, atol=1e-4)
    macs = sum(optimizer.problem.macs(counts) for counts in (optimizer.full, optimizer.smallest, *drawn))
    assert optimizer.ledger.total == 3 * 20 * macs
