"""On every device: exact where it claims to be (in float64), resumable, and the same training as on a CPU.

`pytest -m cuda` runs what needs a GPU. The same tests on the CPU show that they can pass.
"""

import copy
from functools import partial

import pytest
import torch

from awnlib.convert.slimmable import to_slimmable
from awnlib.convert.sort_channels import sort_channels
from awnlib.deploy.anytime import AnytimeNetwork
from awnlib.deploy.extract import extract
from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.evaluation.sweep import sweep_widths
from awnlib.jobs import resumable
from awnlib.models import create_model
from awnlib.seeding import rng
from awnlib.tasks.classification import backward_one_pass, backward_widths
from awnlib.training import engine as module
from awnlib.training.engine import train
from tests.masked import shake
from tests.reference import float64, scores, shake_norm, small_lenet, wide
from tests.unit.test_to_slimmable import Block

WIDTHS = [1.0, 0.75, 0.5, 0.35]
EXACT = 1e-10  # of the norm; summed in another order by each algorithm of cuDNN

cuda = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
on_devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=cuda)])


@pytest.fixture(autouse=True)
def exact_convolutions(monkeypatch):
    """No TF32, and the same algorithms in every run."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


def lenet():
    return small_lenet(channels={"conv1": 7, "conv2": 12, "conv3": 9})


def mobilenet():
    torch.manual_seed(0)
    sizes = {"input_shape": (1, 16, 16), "num_classes": 3, "base_width_mult": 0.2, "min_width_mult": WIDTHS[-1]}
    model = create_model("mobilenet_v2", dense_base=True, **sizes)
    for layer in model.modules():
        shake_norm(layer)
    return model


@pytest.fixture(params=[lenet, mobilenet])
def model(request, device):
    with float64():
        made = request.param()
    return made.to(device=device, memory_format=torch.channels_last)


@pytest.fixture
def batch(device):
    images = torch.randn(8, 1, 16, 16, dtype=torch.float64, generator=rng(0, "images"))
    labels = torch.randint(3, (8,), generator=rng(0, "labels"))
    return images.to(device=device, memory_format=torch.channels_last), labels.to(device)


def flat(tensors):
    return torch.cat([tensor.flatten().double() for tensor in tensors])


def assert_exact(found, expected):
    assert (found - expected).norm() <= EXACT * expected.norm()
    assert expected.norm() > 0


@on_devices
@pytest.mark.parametrize("distillation", [False, True], ids=["labels", "distillation"])
def test_one_pass_has_the_gradients_and_statistics_of_separate_passes(model, batch, distillation):
    slow, fast = copy.deepcopy(model.train()), model.train()
    losses, _ = backward_widths(slow, *batch, WIDTHS, distillation=distillation)
    fast_losses, _ = backward_one_pass(fast, *batch, WIDTHS, distillation=distillation)
    assert_exact(fast_losses, losses)
    assert_exact(*(flat(parameter.grad for parameter in each.parameters()) for each in (fast, slow)))
    assert_exact(*(flat(each.buffers()) for each in (fast, slow)))


@on_devices
def test_one_pass_sweeps_to_the_rows_of_one_width_at_a_time(model, batch):
    rows = wide(sweep_widths(model, [batch, batch]))
    assert len(rows) > 5
    for row in rows[:: len(rows) // 6]:
        (alone,) = wide(sweep_widths(model, [batch, batch], [row["width_mult"]]))
        assert row == {**alone, "loss_nats": pytest.approx(alone["loss_nats"], rel=EXACT)}


@on_devices
@pytest.mark.parametrize("fold_bn", [False, True], ids=["norms", "folded"])
@torch.no_grad()
def test_an_extracted_width_and_a_widened_one_answer_as_the_model_does(model, batch, fold_bn):
    images, _ = batch
    anytime = AnytimeNetwork(model.eval(), channels_last=fold_bn)
    anytime.start(images)
    for width_mult in reversed(WIDTHS):
        model.set_width_mult(width_mult)
        expected = model(images)
        assert_exact(extract(model, width_mult, fold_bn=fold_bn)(images), expected)
        assert_exact(anytime.logits(width_mult), expected)


@on_devices
def test_a_network_converted_on_a_device_is_that_of_the_cpu(device):
    torch.manual_seed(0)
    network = shake(Block()).double()
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=rng(0, "images"))
    labels = torch.randint(5, (6,), generator=rng(0, "labels"))
    answers = []
    for place in ("cpu", device):
        converted = to_slimmable(network.to(place), images.to(place), divisor=1).train()
        sort_channels(converted)
        recalibrate_bn(converted, [images.to(place)], [1.0, 0.5])
        backward_widths(converted, images.to(place), labels.to(place), [1.0, 0.5, 0.25])
        gradients = flat(parameter.grad for parameter in converted.parameters())
        converted.eval().set_between_switches("interpolated")
        converted.set_width_mult(0.75)
        assert_exact(extract(converted, 0.75)(images.to(place)), converted(images.to(place)))
        answers.append(torch.cat([gradients, converted(images.to(place)).flatten()]).detach().cpu())
    assert_exact(answers[1], answers[0])


@on_devices
def test_recalibrated_statistics_are_those_of_the_cpu(model, batch):
    images, _ = batch
    elsewhere = copy.deepcopy(model).cpu()
    before = flat(elsewhere.buffers())
    recalibrate_bn(model, [images, images[:6]], [1.0])
    recalibrate_bn(elsewhere, [images.cpu(), images[:6].cpu()], [1.0])
    assert_exact(flat(model.buffers()).cpu(), flat(elsewhere.buffers()))
    assert not torch.equal(before, flat(elsewhere.buffers()))


def assert_same_network(result, expected, **tolerances):
    found, wanted = result.model.cpu().state_dict(), expected.model.cpu().state_dict()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, **tolerances)


@on_devices
@pytest.mark.parametrize("method", ["awn_rs", "awn_all", "s_net", "us_net", "us_net_hard"])
def test_a_continued_training_is_the_uninterrupted_one(make_run, shapes, tmp_path, monkeypatch, device, method):
    run, learning_rate = make_run(method), module.learning_rate

    def stopped(settings, progress):
        if progress == 0.6:
            raise KeyboardInterrupt
        return learning_rate(settings, progress)

    expected = train(run, shapes, device=device)
    monkeypatch.setattr(resumable, "CHECK_EVERY", 1)
    continued = partial(train, run, shapes, device=device, checkpoint=tmp_path / "point", checkpoint_every_s=0)
    monkeypatch.setattr(module, "learning_rate", stopped)
    with pytest.raises(KeyboardInterrupt):
        continued()
    monkeypatch.setattr(module, "learning_rate", learning_rate)
    result = continued()
    assert result.resumed == 1
    exact = {"rtol": 0, "atol": 0} if device == "cpu" else {"rtol": 1e-4, "atol": 1e-5}
    assert_same_network(result, expected, **exact)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["awn", "awn_rs", "awn_all", "s_net", "us_net", "us_net_hard"])
def test_a_gpu_trains_as_a_cpu_does(make_run, shapes, method):
    run = make_run(method)
    assert_same_network(train(run, shapes, device="cuda"), train(run, shapes), rtol=5e-3, atol=5e-4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("default")  # the compiler's own
@pytest.mark.parametrize("method", ["awn", "awn_rs"])
def test_replayed_graphs_train_as_eager_steps_do(make_run, shapes, method):
    eager = train(make_run(method), shapes, device="cuda")
    replayed = train(make_run(method, compile=True), shapes, device="cuda")
    assert_same_network(replayed, eager, rtol=5e-3, atol=5e-4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", ["awn", "us_net"])
def test_bfloat16_learns_on_a_gpu(make_run, shapes, method):
    settings = {"num_epochs": 4, "schedule": "constant"}
    rough = train(make_run(method, **settings, precision="bfloat16"), shapes, device="cuda")
    exact = train(make_run(method, **settings), shapes, device="cuda")
    last = [scores(result.history, "loss_nats")[-1] for result in (rough, exact)]
    assert last[0] == pytest.approx(last[1], rel=0.3)
