"""What jobs declare: one suite over every job of two studies, and hand-computed needs."""

import json
from importlib import import_module
from types import FunctionType

import pytest
import yaml

from awnlib.jobs import hardware
from awnlib.jobs.digest import _path
from awnlib.studies.job import find_job, find_named
from awnlib.studies.transfer import stages as transfer
from awnlib.studies.transfer.config import load_transfer_study, parse_transfer_study
from awnlib.studies.widths import stages as widths
from awnlib.studies.widths.config import load_study, parse_study
from tests.conftest import REPOSITORY

TABLES = {
    "widths": widths.jobs(load_study(REPOSITORY / "configs/ci.yaml")),
    "transfer": transfer.jobs(load_transfer_study(REPOSITORY / "configs/width_transfer_ci.yaml")),
}
EVERY = {f"{stage}:{name}": job for table in TABLES.values() for stage in table for name, job in table[stage].items()}
RUN = "digits/lenet_3c1l/us_net/seed0"


@pytest.fixture
def make_table(study_data):
    """Return a function that gives the jobs of a study of US-Nets, from changes of its settings."""

    def make(**changes):
        study_data["datasets"] = {"digits": {"source": "mnist5k"}}
        study_data["exhibits"] = {
            "any_width_networks.table2": {
                "panels": [{"model": "lenet_3c1l", "dataset": "digits"}],
                "methods": ["us_net"],
            }
        }
        study_data["methods"] = {"us_net": {"recalibration": [4]}}
        return widths.jobs(parse_study({**study_data, **changes}))

    return make


@pytest.mark.parametrize("key", EVERY)
def test_what_a_job_declares_is_there(key):
    job = EVERY[key]
    assert key == f"{job.stage}:{job.name}"
    module, _, name = job.function.rpartition(".")
    assert isinstance(getattr(import_module(f"awnlib.{module}"), name), FunctionType)
    assert all(_path(extension) is not None for extension in job.extensions)
    assert job.images in job.study.images()
    assert set(job.parts) <= {"training", "test", "shape"}
    for declared in (job.settings, job.about):
        assert yaml.safe_load(yaml.safe_dump(declared)) == json.loads(json.dumps(declared)) == declared


@pytest.mark.parametrize("kind", TABLES)
def test_needs_are_jobs_of_the_study_and_records_differ(kind):
    every = [job for there in TABLES[kind].values() for job in there.values()]
    for job in every:
        for need in job.needs.values():
            assert TABLES[kind][need.stage][need.name] == need
    assert len({job.record for job in every}) == len({job.checkpoint for job in every}) == len(every)


def test_needs_of_each_stage(make_table):
    table = make_table()
    training, recalibration, sweep = (table[stage] for stage in ("train_model", "recalibrate_bn", "sweep_widths"))
    assert training[RUN].needs == {}
    assert recalibration[f"{RUN}/recal4"].needs == {"trained": training[RUN]}
    assert sweep[f"{RUN}/recal4"].needs == {"trained": recalibration[f"{RUN}/recal4"]}
    assert sweep[f"{RUN}/recal4"].record == f"sweeps/{RUN}/recal4/record.json"
    awn = next(job for name, job in TABLES["widths"]["sweep_widths"].items() if "/awn/" in name)
    assert awn.needs == {"trained": TABLES["widths"]["train_model"][awn.cell.run.name]}


def test_uniform_widths_need_no_search():
    retrainings, transfers = (TABLES["transfer"][stage] for stage in ("train_transferred", "transfer_widths"))
    assert {name for name, job in retrainings.items() if not job.needs} == retrainings.keys() - transfers.keys()
    for name, job in transfers.items():
        assert retrainings[name].needs == {"transferred": job}
        assert job.needs == {"searched": TABLES["transfer"]["search_widths"][job.cell.search.name]}


def test_resources_follow_from_processes(make_table, monkeypatch):
    train = {"num_processes": 2, "num_workers": 3, "batch_size": 20}
    table = make_table(train=train, device="cuda")
    training, sweep = table["train_model"][RUN], table["sweep_widths"][f"{RUN}/recal4"]
    assert (training.threads, training.mem_mb, training.gpus) == (2 * (1 + 3), 2 * (3000 + 3 * 1000), 2)
    assert (sweep.threads, sweep.mem_mb, sweep.gpus) == (1 + 3, 3000 + 3 * 1000, 1)
    monkeypatch.setattr(hardware, "NVIDIA_DEVICE", REPOSITORY / "none")
    for device in ("cpu", "auto"):
        assert {job.gpus for there in make_table(device=device).values() for job in there.values()} == {0}


def test_resources_of_searches_follow_from_their_settings(repository):
    data = yaml.safe_load((repository / "configs/width_transfer_ci.yaml").read_text())
    data["device"] = "cuda"
    data["transfer"]["search"]["num_workers"] = 2
    data["transfer"]["optimizers"]["dmcp"] = {"settings": {"num_workers": 5}}
    data["transfer"]["train"] |= {"num_processes": 2, "num_workers": 1}
    table = transfer.jobs(parse_transfer_study(data))
    found = {(job.cell.optimizer, job.threads, job.mem_mb, job.gpus) for job in table["search_widths"].values()}
    assert found == {
        ("morphnet", 3, 6000, 1),
        ("autoslim", 3, 6000, 1),
        ("dmcp", 6, 9000, 1),
        ("dmcp_null", 3, 6000, 1),
    }
    assert {(job.threads, job.mem_mb, job.gpus) for job in table["transfer_widths"].values()} == {(1, 4000, 0)}
    assert {(job.threads, job.mem_mb, job.gpus) for job in table["train_transferred"].values()} == {(4, 10000, 2)}


def test_who_reads_images_changes_no_settings(make_table):
    for stage, there in make_table().items():
        for name, job in there.items():
            assert make_table(train={"num_workers": 2})[stage][name].settings == job.settings


def test_unknown_names_are_told_what_there_is(make_table):
    table = make_table()
    assert find_job(table, "train_model", RUN) is table["train_model"][RUN]
    with pytest.raises(ValueError, match=rf"^there is no train_model 'foo' in this study \(it has: {RUN}\)$"):
        find_job(table, "train_model", "foo")
    with pytest.raises(ValueError, match=r"no figure 'a' in this study \(it has: none\)"):
        find_named({}, "a", "figure")
    many = {f"run{index}": index for index in range(100)}
    with pytest.raises(ValueError, match=r"'rum42' in this study \(it has: run42, .* and 90 more\)"):
        find_named(many, "rum42", "run")


def test_the_place_of_a_record_is_spelled_once(repository):
    spelled = [path for path in (repository / "awnlib").rglob("*.py") if "/record.json" in path.read_text()]
    assert spelled == [repository / "awnlib/studies/job.py"]
    assert not [path for path in (repository / "awnlib").rglob("*.py") if '"record.json"' in path.read_text()]
