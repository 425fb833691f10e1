"""The benchmarks run, state each target once, and compare with peers that compute the same."""

import os
import platform
import subprocess
import sys
import time
from collections import Counter
from importlib.metadata import version

import pandas as pd
import pytest
import torch
from torch.autograd import DeviceType

from awnlib.channels import Channels
from awnlib.data import ImageData
from awnlib.data.batches import TrainingImages
from awnlib.deploy.extract import extract
from awnlib.evaluation.sweep import sweep_widths
from awnlib.seeding import rng
from awnlib.tasks.classification import backward_one_pass, backward_widths
from benchmarks import NAMES, gpu_busy, measure
from benchmarks.__main__ import main
from benchmarks.image_loader import PilImages, endless_loader
from benchmarks.measure import Benchmark, Ratio, at_least, at_most, instructions
from benchmarks.peers import PapersLeNet, PlainLeNet, count, papers_backward, papers_sweep
from benchmarks.plot import plot
from benchmarks.processes import run_apart
from benchmarks.report import frame_of, table
from benchmarks.workload import Options
from tests.reference import small_lenet, wide

WIDTHS = [1.0, 0.75, 0.5, 0.25]
TARGETS = {
    "mobilenet_v2": [("at most", 1.05), ("at least", 2.4)],
    "super_resolution": [("at most", 1.15), ("at least", 2)],
    "train_step": [
        *(("at most", value) for value in (1.05, 1.07, 0.6)),
        *(("at least", value) for value in (2.4, 3.3, 5.5)),
    ],
    "sweep": [("at least", 30)],
    "data_path": [("at least", 12)],
    "layer_kernels": [("at most", 0.78), ("at most", 0.85)],
    "slices": [("at most", 1)] * 6,
    "anytime": [("at most", 0.55)],
    "packing": [("at least", 1.15)],
    "agents": [("at least", 1), ("at most", 1), ("at most", 1), ("at most", 1.2)],
}


@pytest.fixture(scope="module")
def smoke(repository, tmp_path_factory):
    """What is printed, and the folder with the files."""
    folder = tmp_path_factory.mktemp("benchmarks")
    command = [sys.executable, "-m", "benchmarks", "--smoke", "--output", str(folder)]
    result = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result, folder


@pytest.mark.slow
def test_every_benchmark_is_in_the_table_and_in_the_files(smoke):
    result, folder = smoke
    frame = pd.read_parquet(folder / "benchmarks.parquet")
    skipped = [name for name in ("gpu_busy", "packing") if f"{name} was skipped: " in result.stdout]
    assert [*frame["benchmark"].unique(), *skipped] == sorted(NAMES, key=[*frame["benchmark"], *skipped].index)
    assert (frame["ratio"] > 0).all()
    assert (frame["rounds"] == 1).all()
    markdown = (folder / "benchmarks.md").read_text()
    for name in {*frame["benchmark"], *frame["case"], *frame["reference"]}:
        assert name in result.stdout
        assert name in markdown
    assert all(f"{name} (" in result.stderr for name in NAMES)
    assert sorted(path.name for path in folder.iterdir()) == [
        f"benchmarks.{s}" for s in ("md", "parquet", "png", "svg")
    ]


@pytest.mark.slow
def test_every_target_is_stated_once(smoke):
    result, folder = smoke
    frame = pd.read_parquet(folder / "benchmarks.parquet")
    assert not frame.duplicated(["benchmark", "case", "reference"]).any()
    stated = frame.dropna(subset="target")
    for name, targets in TARGETS.items():
        rows = stated[stated["benchmark"] == name]
        if name != "packing" or len(rows):
            assert Counter(zip(rows["target_kind"], rows["target"], strict=True)) == Counter(targets), name
    assert set(stated["benchmark"]) <= set(TARGETS)
    here = instructions(Options())
    holds = frame["target"].notna() & (frame["holds_with"].isna() | frame["holds_with"].isin(here))
    assert frame["reached"].notna().equals(holds)
    assert sum(result.stdout.count(verdict) for verdict in ("reached", "missed")) == holds.sum()
    assert result.stdout.count("no target here (holds with") == len(stated) - holds.sum()


@pytest.mark.slow
def test_rows_say_what_machine_they_come_from(smoke):
    frame = pd.read_parquet(smoke[1] / "benchmarks.parquet")
    for name in ("device", "threads", "batch_size", "torch", "commit"):
        assert len(frame[name].unique()) == 1
    assert frame["torch"][0] == version("torch")
    assert frame["case_mib"].notna().equals(frame["unit"] == "MiB")
    assert frame["case_ms"].notna().equals(frame["unit"] == "ms")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweeep", "sweep"], "unknown benchmark sweeep (allowed: train_step, mobilenet_v2, "),
        (["--rounds", "0"], "must be 1 or more, found 0"),
        pytest.param(
            ["--device", "cuda"],
            "PyTorch finds no such device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_measured(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    output = capsys.readouterr()
    assert message in output.err
    assert output.out == ""


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a case says so."""
    now = [0.0]
    monkeypatch.setattr(measure.time, "perf_counter", lambda: now[0])
    return now


def test_ratios_are_medians_of_the_rounds_after_one_that_warms_up(clock):
    seconds = {"slow": iter([100.0, 2.0, 6.0, 4.0]), "fast": iter([1.0, 1.0, 2.0, 1.0])}
    order = []

    def case(name):
        def run():
            order.append(name)
            clock[0] += next(seconds[name])

        return run

    def unmeasured():
        clock[0] += 50.0

    cases, ratios = {"slow": case("slow"), "fast": case("fast")}, [Ratio("slow", "fast", at_least(3.5))]
    benchmark = Benchmark("some", cases, ratios, before={"slow": unmeasured})
    (row,) = measure.measure(benchmark, Options(rounds=3))
    assert (row["ratio_q25"], row["ratio"], row["ratio_q75"]) == (2.5, 3.0, 3.5)  # of 2, 3 and 4
    assert (row["case_ms"], row["reference_ms"], row["rounds"]) == (4000.0, 1000.0, 3)
    assert row["reached"] is False
    assert order == ["slow", "fast", "fast", "slow"] * 2


def test_cases_that_measure_themselves_need_no_warming_up():
    values = {"large": iter([6.0, 8.0]), "small": iter([2.0, 2.0])}
    cases = {name: values[name].__next__ for name in values}
    benchmark = Benchmark("some", cases, [Ratio("large", "small")], unit="MiB", timed=False, max_rounds=2)
    (row,) = measure.measure(benchmark, Options(rounds=9))
    assert (row["ratio"], row["case_mib"], row["reference_mib"], row["rounds"]) == (3.5, 7.0, 2.0, 2)
    assert row["target"] is row["reached"] is None


@pytest.mark.parametrize("compared", [("one", "three"), ("one", "one")])
def test_ratios_compare_all_cases_and_nothing_else(compared):
    with pytest.raises(ValueError, match="benchmark some: ratios must compare all cases"):
        Benchmark("some", {"one": list, "two": list}, [Ratio(*compared)])


def test_targets_include_their_limit():
    assert at_most(1.05).reached(1.05)
    assert not at_most(1.05).reached(1.06)
    assert at_least(2.4).reached(2.4)
    assert not at_least(2.4).reached(2.3)


@pytest.mark.parametrize(
    ("features", "vectors", "device", "expected"),
    [
        ({"avx512", "bfloat16"}, "AVX512", "cpu", {"AVX-512", "bfloat16"}),
        ({"avx512"}, "AVX512", "cpu", {"AVX-512"}),
        (set(), "AVX512", "cpu", set()),  # ONEDNN_MAX_CPU_ISA=AVX2
        ({"avx512"}, "AVX2", "cpu", set()),  # ATEN_CPU_CAPABILITY=avx2
        ({"avx512", "bfloat16"}, "AVX512", "cuda", set()),
        (None, "DEFAULT", "cpu", set()),
    ],
)
def test_instructions_of_torch_and_onednn(monkeypatch, features, vectors, device, expected):
    monkeypatch.setattr(measure, "cpu_features", lambda: features)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    assert instructions(Options(device=device)) == expected


@pytest.mark.parametrize(
    ("here", "verdicts"),
    [
        ({"AVX-512"}, ["reached", "reached", "no target here (holds with bfloat16)", ""]),
        (set(), ["reached", "no target here (holds with AVX-512)", "no target here (holds with bfloat16)", ""]),
    ],
)
def test_a_target_that_needs_instructions_is_none_without_them(monkeypatch, here, verdicts):
    monkeypatch.setattr(measure, "instructions", lambda options: frozenset(here))
    targets = [at_most(1.5), at_most(1.5, holds_with="AVX-512"), at_most(1.5, holds_with="bfloat16"), None]
    cases = {"a": lambda: 1.0, "b": lambda: 1.0}
    benchmark = Benchmark("some", cases, [Ratio("a", "b", target) for target in targets], timed=False)
    frame = frame_of(measure.measure(benchmark, Options(rounds=1)), Options())
    lines = table(frame, "pipe").splitlines()[2:]
    assert [line.split("|")[-2].strip() for line in lines] == verdicts
    assert [line.split("|")[-3].strip() for line in lines] == ["at most 1.5"] * 3 + [""]
    plot(frame)


def test_table_and_plot_tell_reached_from_missed_without_colour():
    kinds = [(at_most(1.5), 1.0), (at_most(0.5), 1.0), (None, 1.0)]
    cases = {"a": lambda: 1.0, "b": lambda: 1.0}
    rows = []
    for target, _ in kinds:
        rows += measure.measure(Benchmark("some", cases, [Ratio("a", "b", target)], timed=False), Options(rounds=1))
    frame = frame_of(rows, Options())
    assert [line.split("|")[-2].strip() for line in table(frame, "pipe").splitlines()[2:]] == ["reached", "missed", ""]
    dots = [line for line in plot(frame).axes[0].lines if line.get_marker() in ("o", "X", "D")]
    assert [line.get_marker() for line in dots] == ["o", "X", "D"]


@pytest.fixture
def batch():
    return torch.randn(6, 1, 16, 16, dtype=torch.float64, generator=rng(0, "images")), torch.tensor([0, 1, 2, 0, 1, 1])


def papers_copy(model, **options):
    """The network of `benchmarks.peers` with a model's weights, and convolutions with zero biases."""
    network = PapersLeNet(12, num_classes=3, area=1, **options).double().train()
    with torch.no_grad():
        for conv in (network.conv1, network.conv2, network.conv3):
            conv.bias.zero_()
    loaded = network.load_state_dict(model.state_dict(), strict=False)
    assert loaded.missing_keys == ["conv1.bias", "conv2.bias", "conv3.bias"]
    assert loaded.unexpected_keys == []
    return network


SQUARE = {"channels": dict.fromkeys(("conv1", "conv2", "conv3"), 12)}


@pytest.mark.parametrize("method", ["awn", "s_net"])
def test_papers_code_computes_the_gradients_of_ours(method, batch):
    sliced = {"layer": "sliced", "norm": "switchable", "switches": WIDTHS} if method == "s_net" else {}
    model = small_lenet(**SQUARE, **sliced).double().train()
    papers = papers_copy(model, **({"switches": WIDTHS} if sliced else {}))
    backward = backward_widths if sliced else backward_one_pass
    losses, corrects = backward(model, *batch, WIDTHS)
    meters = papers_backward(papers, *batch, WIDTHS)
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    found = {name: parameter.grad for name, parameter in papers.named_parameters() if name in expected}
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    state = {name: value for name, value in papers.state_dict().items() if "running" in name}
    ours = model.state_dict()
    torch.testing.assert_close(state, {name: ours[name] for name in state}, rtol=1e-10, atol=1e-10)
    assert [meters[width_mult][0] for width_mult in WIDTHS] == pytest.approx(losses.tolist(), rel=1e-10)
    assert [meters[width_mult][1] for width_mult in WIDTHS] == pytest.approx((100 * corrects / 6).tolist(), rel=1e-6)


def test_papers_code_sweeps_to_the_same_rows(batch):
    model = small_lenet(**SQUARE).double()
    papers = papers_copy(model).eval()
    every = model.distinct_width_mults()
    meters = papers_sweep(papers, *batch, every)
    for row in wide(sweep_widths(model, [batch])):
        loss, accuracy = meters[row["width_mult"]]
        assert loss == pytest.approx(row["loss_nats"], rel=1e-10)
        assert accuracy == pytest.approx(row["top1_pct"], rel=1e-6)


@pytest.mark.parametrize("width_mult", [1.0, 0.6, 0.25])
def test_plain_network_computes_what_extraction_does(width_mult, batch):
    network = extract(small_lenet().double(), width_mult)
    plain = PlainLeNet([count(width_mult, full) for full in (5, 8, 6)], num_classes=3, area=1).double().eval()
    plain.load_state_dict(network.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(plain(batch[0]), network(batch[0]), rtol=1e-10, atol=1e-10)


def test_peers_count_channels_as_we_do():
    for width_mult in [k / 40 for k in range(10, 41)]:
        assert count(width_mult, 45) == Channels(45).count(width_mult)


def test_loader_gives_the_batches_of_ours():
    images, labels = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8, generator=rng(0, "pixels")), torch.arange(8)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    data = ImageData("some", images, labels, images[:1], labels[:1], tuple("abcdefgh"), mean, std, "random")
    expected, _ = TrainingImages(data, "none", torch.device("cpu")).batch(torch.arange(8), rng(0, "unused"))
    found, their_labels = next(
        iter(endless_loader(PilImages(images, labels, mean, std, augment=False), 8, workers=0, pinned=False))
    )
    assert sorted(their_labels.tolist()) == list(range(8))
    torch.testing.assert_close(found, expected[their_labels], rtol=1e-5, atol=1e-6)


def test_loader_crops_and_mirrors():
    """From the middle pixel no crop leads to black borders: a constant image stays one, up to its borders."""
    images, labels = torch.full((4, 3, 32, 32), 255, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    torch.manual_seed(0)
    pil = PilImages(images, labels, (0.0,) * 3, (1.0,) * 3, augment=True)
    found = torch.stack([pil[index % 4][0] for index in range(40)])
    assert (found[:, :, 4:28, 4:28] == 1).all()
    borders = (found == 0).any(dim=0).any(dim=0)
    assert borders[:4].all()
    assert borders[:, -4:].any()


def test_stretches_that_overlap_count_once():
    assert gpu_busy.covered([(5.0, 7.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.5), (7.0, 8.0)]) == 6.0
    assert gpu_busy.covered([]) == 0.0


def test_busy_time_is_that_of_operators_within_the_step():
    """On the CPU, whose operators stand in for kernels: less than the step, which also sleeps and has a name."""
    images = torch.randn(64, 64)

    def take_step():
        with torch.profiler.record_function("step"):
            time.sleep(0.02)
            images @ images

    busy = gpu_busy.busy_ms(take_step, DeviceType.CPU, Options())
    assert 0 < busy < 10
    assert gpu_busy.step_ms(take_step, Options()) > 20


def test_processes_are_new_ones():
    assert len({os.getpid(), *run_apart(os.getpid, count=2)}) == 3


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere the peak cannot be reset")
def test_peak_is_that_of_what_ran_last(repository):
    code = """
import torch
from benchmarks import memory

torch.ones(64 * 2**20)
before = memory.reset_peak()
torch.ones(8 * 2**20)
print(memory.peak_bytes() - before)
"""  # in a process of its own: this one may keep the memory that others freed
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout
    assert int(output) == pytest.approx(32 * 2**20, rel=0.25)
