"""`python -m benchmarks.gpu`: all of it in a minute, parts that fail, are stopped, killed, or were done before."""

import json
import platform
import signal
import subprocess
import sys

import pandas as pd
import pytest

from benchmarks.gpu import INCOMPLETE, PARTS, __main__, children
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.state import DONE, State, outcome_of
from tests.processes import processes_with, wait_for

COMMAND = [sys.executable, "-m", "benchmarks.gpu", "--tiny", "--device", "cpu", "--at-a-time", "1", "--out"]


@pytest.fixture(scope="module")
def measured(repository, tmp_path_factory):
    """What is said, and the folder of all results."""
    out = tmp_path_factory.mktemp("gpu")
    result = subprocess.run([*COMMAND, str(out)], cwd=repository, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stderr, out


@pytest.mark.slow
def test_all_parts_leave_results(measured):
    said, out = measured
    summary = (out / "summary.md").read_text()
    for name, part in PARTS.items():
        assert f"{name}: done" in said
        assert State.load(out / name).calls == 1
        assert (f"\n## {part.title}\n" in summary) == (name != "studies")
    assert "passed" in json.loads((out / "checks/checks.json").read_text())["test_auc"]["result"]
    assert set(pd.read_parquet(out / "ratios/benchmarks.parquet")["benchmark"]) == {"calibration"}
    latency = pd.read_parquet(out / "latency/benchmarks.parquet")
    assert len(latency) == 8
    assert (latency["case_ms"] > 0).all()
    for study, labels in (
        ("lenet_3c1l/gpu_lenet_3c1l", ["AWN", "US-Net-hard(2w)"]),
        ("mobilenet_v2/gpu_mobilenet_v2_1_epochs", ["AWN, dense base"]),
    ):
        table = pd.read_parquet(out / study / "tables/any_width_networks.table2.parquet")
        assert table["label"].tolist() == labels
        assert (table["score"] > 0).all()
        assert (out / study / "tables/any_width_networks.table2.md").read_text().strip() in summary


@pytest.mark.slow
def test_what_is_done_is_not_done_again(measured, repository):
    _, out = measured
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "summary.md"}
    result = subprocess.run([*COMMAND, str(out)], cwd=repository, capture_output=True, text=True)
    assert result.stderr.splitlines() == [f"{name}: done" for name in PARTS]
    after = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.name != "summary.md"}
    assert after == before


@pytest.mark.slow
@pytest.mark.skipif(platform.system() != "Linux", reason="looks for processes in /proc")
def test_a_call_that_was_killed_goes_on(repository, tmp_path):
    """SIGKILL once the first of two runs is done: its processes end too, and nothing is done twice."""
    command = [*COMMAND, str(tmp_path), "--parts", "lenet_3c1l"]
    with subprocess.Popen(command, cwd=repository, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(tmp_path.glob("**/sweeps/**/awn/**/record.json")))
        process.kill()
    wait_for(lambda: not processes_with(str(tmp_path)))
    first = {path: path.read_bytes() for path in tmp_path.glob("**/awn/**/record.json")}
    assert not list(tmp_path.glob("**/sweeps/**/recal2/record.json"))
    assert subprocess.run(command, cwd=repository).returncode == 0
    assert {path: path.read_bytes() for path in tmp_path.glob("**/awn/**/record.json")} == first
    assert State.load(tmp_path / "lenet_3c1l").outcome == DONE
    assert len(list(tmp_path.glob("**/sweeps/**/record.json"))) == 2


@pytest.fixture
def calls(monkeypatch):
    """Parts that end as the test says (`calls.endings`), and with which limits they were called."""

    class Calls(dict):
        endings: dict = {}  # noqa: RUF012

    found = Calls()

    def run_limited(command, log, limit_s):
        name = command[3]
        found[name] = limit_s
        return found.endings.get(name, (0, False))

    monkeypatch.setattr(__main__, "run_limited", run_limited)
    monkeypatch.setattr(__main__.time, "monotonic", lambda: 0.0)
    return found


def call(out, *arguments):
    with pytest.raises(SystemExit) as end:
        main(["--device", "cpu", "--out", str(out), *arguments])
    return end.value.code


def test_a_part_that_fails_does_not_stop_the_others(calls, tmp_path, capsys):
    calls.endings = {"checks": (1, False), "ratios": (-signal.SIGKILL, False), "latency": (INCOMPLETE, False)}
    assert call(tmp_path) == 1
    assert list(calls) == list(PARTS)
    outcomes = {name: State.load(tmp_path / name).outcome for name in PARTS}
    assert outcomes["checks"] == "failed with status 1: see its log"
    assert outcomes["ratios"] == "failed with status -9: see its log"
    assert outcomes["lenet_3c1l"] == outcomes["mobilenet_v2"] == outcomes["studies"] == DONE
    assert outcomes["latency"] == "incomplete: its log says what is missing"
    calls.clear()
    calls.endings = {}
    assert call(tmp_path) == 0
    assert list(calls) == ["checks", "ratios", "latency"]
    assert [State.load(tmp_path / name).calls for name in PARTS] == [2, 2, 1, 1, 1, 2]


def test_other_settings_are_another_call(calls, tmp_path):
    call(tmp_path, "--parts", "lenet_3c1l", "--datasets", "cifar10")
    calls.clear()
    call(tmp_path, "--parts", "lenet_3c1l", "--datasets", "cifar100")
    assert list(calls) == ["lenet_3c1l"]


def test_where_results_are_and_how_many_run_at_once_is_no_other_call(calls, tmp_path):
    call(tmp_path / "here", "--parts", "latency", "--at-a-time", "2")
    (tmp_path / "here").rename(tmp_path / "there")
    calls.clear()
    call(tmp_path / "there", "--parts", "latency", "--at-a-time", "3")
    assert not calls
    assert str(tmp_path) not in (tmp_path / "there/latency/part.json").read_text()


def test_time_is_left_for_the_parts_that_follow(calls, tmp_path):
    """No time passes here: what one part does not use is left for the next ones."""
    call(tmp_path, "--minutes", "10")
    limits = [0.2, 0.45, 0.7, 0.8, 0.9, 1.0]
    assert list(calls.values()) == pytest.approx([600 * limit - children.GRACE_S for limit in limits])
    assert sum(part.share for part in PARTS.values()) == pytest.approx(1)


def test_a_part_without_time_is_not_started(calls, tmp_path, capsys):
    assert call(tmp_path, "--minutes", "0.1", "--parts", "latency") == 0
    assert "latency: no time is left" in capsys.readouterr().err
    assert not calls


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "latencies"], "invalid choice: 'latencies'"),
        (["--datasets", "mnist"], "invalid choice: 'mnist'"),
        (["--minutes", "0"], "--minutes must be above 0"),
        (["--seeds", "0"], "must be 1 or more, found 0"),
        (["--studies", "nowhere.yaml"], "--studies: there is no file nowhere.yaml"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message, tmp_path, capsys):
    assert call(tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_outcomes():
    assert outcome_of(0, stopped=True) == DONE
    for status, stopped in ((143, False), (-signal.SIGTERM, False), (-signal.SIGKILL, True)):
        assert outcome_of(status, stopped=stopped) == "stopped at its limit; goes on in the next call"
