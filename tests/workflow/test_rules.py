"""The workflow's text: lint, format, and what every rule must have; and wrong configurations, refused at once."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from awnlib.studies.kinds import load_any_study, study_jobs

RUN = "digits/lenet_3c1l/awn/seed0"
REPOSITORY = Path(__file__).parents[2]
CONFIGS = [
    REPOSITORY / "config.yaml",
    *sorted((REPOSITORY / "configs").glob("*.yaml")),
    *sorted((REPOSITORY / "awnlib/papers").glob("*/setting*.yaml")),
]
EVERY_STUDY = pytest.mark.parametrize("config", CONFIGS, ids=lambda path: str(path.relative_to(REPOSITORY)))
SOURCES = [REPOSITORY / "Snakefile", *sorted((REPOSITORY / "workflow" / "rules").glob("*.smk"))]
RULES = {
    name: body
    for source in SOURCES
    for name, body in re.findall(r"^(?:rule|checkpoint) (\w+):\n((?:    .*\n|\n)+)", source.read_text(), re.MULTILINE)
}


@EVERY_STUDY
def test_lint(workflow, config):
    workflow.configure(yaml.safe_load(config.read_text()))
    code, output = workflow.call("--lint")
    assert code == 0, output


@EVERY_STUDY
def test_whole_study_can_be_planned(workflow, config):
    study = yaml.safe_load(config.read_text())
    planned = workflow.planned(study)
    assert planned["all"] == 1
    if "transfer" in study:
        assert planned["train_transferred"] > planned["transfer_widths"] >= planned["search_widths"] >= 1
    else:
        assert planned["sweep_widths"] >= planned["train_model"] >= 1


def test_jobs_ask_for_what_their_processes_need(workflow, make_study):
    """A run of two processes with three readers each, and its sweep; a run of one process without readers."""
    study = make_study("shared", "awn", "us_net")
    study |= {"device": "cuda", "overrides": [{"method": "awn", "train": {"num_processes": 2, "num_workers": 3}}]}
    workflow.configure(study)
    speechless(workflow)
    code, output = workflow.call("--dry-run", "--cores", "16")
    assert code == 0, output
    jobs = {}
    for job in re.split(r"\n(?=\[)", output):
        values = dict(re.findall(r"\b(threads|gpu|mem_mb)[=:] ?(\d+)", job))
        if "gpu" in values:
            (path,) = re.findall(r"output: results/shared/(\S+)", job)
            jobs[path] = {"threads": 1, **{name: int(value) for name, value in values.items()}}
    run, sweep = "runs/digits/lenet_3c1l", "sweeps/digits/lenet_3c1l"
    assert jobs[f"{run}/awn/seed0/record.json"] == {"threads": 8, "gpu": 2, "mem_mb": 12000}
    assert jobs[f"{run}/us_net/seed0/record.json"] == {"threads": 1, "gpu": 1, "mem_mb": 3000}
    assert jobs[f"{sweep}/awn/seed0/as_trained/record.json"] == {"threads": 4, "gpu": 1, "mem_mb": 6000}


@pytest.mark.parametrize(
    ("config", "rule"),
    [("ci.yaml", "train_model"), ("width_transfer_ci.yaml", "train_transferred")],
)
def test_fewer_gpus_than_processes_are_refused(workflow, config, rule):
    study = yaml.safe_load((REPOSITORY / "configs" / config).read_text())
    study.get("transfer", study)["train"]["num_processes"] = 2
    workflow.configure(study)
    code, output = workflow.call("--dry-run", "--set-resources", f"{rule}:gpu=1")
    assert code == 1
    assert f"train.num_processes is 2, but the profile's set-resources give each job of {rule} gpu: 1" in output
    code, output = workflow.call("--dry-run", "--set-resources", f"{rule}:gpu=2")
    assert code == 0, output


def test_the_documented_imagenet_command_gives_every_job_its_gpus(workflow):
    """As in docs/width_transfer.md, for a smaller study: one GPU for a search, eight for a retraining."""
    paper = "awnlib/papers/width_transfer/setting.yaml"
    text = (REPOSITORY / "docs/width_transfer.md").read_text().replace("\\\n", " ")
    [command] = re.findall(rf"^snakemake (.*{paper}[^#\n]*)", text, re.MULTILINE)
    study = yaml.safe_load((REPOSITORY / "configs/width_transfer_ci.yaml").read_text())
    study["transfer"]["train"] |= {"num_processes": 8, "batch_size": 48}
    workflow.configure(study)
    speechless(workflow)
    code, output = workflow.call(*command.replace(paper, "study.yaml").split(), "-n")
    assert code == 0, output
    asked = re.findall(r"^rule (search_widths|train_transferred):$.*?\bgpu=(\d+)", output, re.MULTILINE | re.DOTALL)
    assert set(asked) == {("search_widths", "1"), ("train_transferred", "8")}


def speechless(workflow):
    """Take the messages off all rules: a job with a message says nothing else."""
    for path in (workflow.folder / "workflow" / "rules").glob("*.smk"):
        path.write_text(re.sub(r"    message:\n.*\n", "", path.read_text()))


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("ci.yaml", ["train"]),
        ("width_transfer_ci.yaml", ["transfer", "search"]),
    ],
)
def test_bfloat16_on_a_cpu_without_it_is_said_at_once(workflow, monkeypatch, config, keys):
    study = yaml.safe_load((REPOSITORY / "configs" / config).read_text())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    place = study
    for key in keys:
        place = place.setdefault(key, {})
    place["precision"] = "bfloat16"
    workflow.configure({**study, "device": "cpu"})
    code, output = workflow.call("--dry-run")
    assert code == 0, output
    assert output.count("is far slower than float32 on this CPU") == 1


def plain_call(workflow, *arguments):
    """Call snakemake without a configuration file; return the exit code and all that it printed."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
    result = subprocess.run(command, cwd=workflow.folder, capture_output=True, text=True)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "folder", "figures"),
    [((), "demo", True), (("--config", "study=mine", "only=table1"), "mine", False)],
)
def test_plain_call_runs_the_default_study(workflow, arguments, folder, figures):
    code, output = plain_call(workflow, "--dry-run", *arguments)
    assert code == 0, output
    assert set(re.findall(r"results/(\w+)/", output)) == {folder}
    assert "making any_width_networks.table1" in output
    assert ("drawing any_width_networks.figure5_macs" in output) == figures


def test_jobs_read_the_configuration_of_the_call(workflow, make_study):
    """A job is a snakemake of its own, which must neither add the default study nor lose it."""
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(make_study("default", "awn")))
    target = "results/{}/data/digits.safetensors"
    code, output = plain_call(workflow, "--config", "only=table2", "--", target.format("default"))
    assert code == 0, output
    workflow.configure(make_study("given", "awn"))
    code, output = workflow.call("--config", "only=table2", "--", target.format("given"))
    assert code == 0, output
    assert sorted(path.name for path in (workflow.folder / "results").iterdir()) == ["default", "given"]


def test_wrong_names_on_the_command_line_are_refused(workflow):
    code, output = plain_call(workflow, "--dry-run", "--config", "only=mobilenet_v2")
    assert code == 1
    assert "config.yaml cannot be used:\n  - only: nothing in this study has mobilenet_v2" in output


@pytest.mark.parametrize(
    ("only", "file", "shown"),
    [
        ("table2", "tables/any_width_networks.table1.md", ["table2"]),
        ("table2", "figures/any_width_networks.figure4.svg", ["table2"]),
        ("table1", "figures/any_width_networks.figure5_macs.png", ["table1"]),
        ("figure5", "tables/any_width_networks.table1.parquet", ["figure5", "figure5_macs"]),
    ],
)
def test_an_exhibit_that_the_study_lacks_is_refused_before_any_job(workflow, only, file, shown):
    code, output = plain_call(workflow, "--config", f"only={only}", "--", f"results/demo/{file}")
    assert code == 1
    there = ", ".join(f"any_width_networks.{name}" for name in shown)
    assert f"config.yaml: there is no {Path(file).stem} in this study (it has: {there})" in output
    assert not workflow.results("demo").exists()


def test_a_table_is_not_drawn_as_a_figure(workflow):
    code, output = plain_call(workflow, "--", "results/demo/figures/any_width_networks.table1.png")
    assert code == 1
    assert "No rule to produce results/demo/figures/any_width_networks.table1.png" in output


UNKNOWN = "there is no {} '{}' in this study (it has: {})"


@pytest.mark.parametrize(
    ("folder", "name", "kind", "there"),
    [
        ("runs", "foo", "train_model", RUN),
        ("sweeps", "digits/lenet_3c1l/awn/seed7/as_trained", "sweep_widths", f"{RUN}/as_trained"),
        ("recalibrated", f"{RUN}/recal10", "recalibrate_bn", "none"),
    ],
)
def test_an_unknown_cell_is_told_what_there_is(workflow, make_study, folder, name, kind, there):
    workflow.configure(make_study("small", "awn"))
    code, output = workflow.call("--", f"results/small/{folder}/{name}/record.json")
    assert code == 1
    assert f"study.yaml: {UNKNOWN.format(kind, name, there)}\n" in output
    assert not workflow.results("small").exists()


@pytest.mark.parametrize(
    ("target", "kind", "name", "there"),
    [
        ("data/mnist.safetensors", "data set", "mnist", "mnist5k"),
        ("searches/foo/record.json", "search_widths", "foo", "resnet18/mnist5k/w0.125-d"),
    ],
)
def test_what_a_transfer_study_lacks_is_told_too(workflow, target, kind, name, there):
    workflow.configure(yaml.safe_load((REPOSITORY / "configs/width_transfer_ci.yaml").read_text()))
    code, output = workflow.call("--", f"results/width_transfer_ci/{target}")
    assert code == 1
    assert f"study.yaml: {UNKNOWN.format(kind, name, there).removesuffix(')')}" in output


def test_format():
    tool = Path(sys.executable).with_name("snakefmt")
    subprocess.run([tool, "--check", "Snakefile", "workflow"], cwd=REPOSITORY, check=True, capture_output=True)


def test_rules_were_found():
    assert len(RULES) == sum(len(re.findall(r"\n(?:rule|checkpoint) ", source.read_text())) for source in SOURCES) >= 15


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_log_and_depends_on_its_code(name):
    body = RULES[name]
    if "    script:\n" in body:
        assert "    log:\n" in body
        assert "    conda:\n" in body
    if "localrule: True" not in body:
        assert re.search(r"^        code=", body, re.MULTILINE)
        assert "    script:\n" in body


DECLARED = {
    type(job).__name__: job.stage
    for name in ("ci.yaml", "width_transfer_ci.yaml")
    for there in study_jobs(load_any_study(REPOSITORY / "configs" / name)).values()
    for job in there.values()
}


@pytest.mark.parametrize("name", DECLARED)
def test_the_rule_of_a_stage_takes_everything_from_its_declaration(name):
    body = RULES[DECLARED[name]]
    assert {other for other in DECLARED if re.search(rf"\b{other}\b", body)} == {name}
    for taken in ("unpack(inputs({}))", "record({})", "log_file({})", "contents({})", "doing({})", "{}.minutes"):
        assert taken.format(name) in body
    keys = set(re.findall(rf'^ +(\w+)(?:=|: )declared\({name}, "(\w+)"\)', body, re.MULTILINE))
    taken = {("threads", "threads"), ("mem_mb", "mem_mb"), ("settings", "settings"), ("code", "code")}
    assert keys - {("gpu", "gpus")} == taken
    assert "run_job.py" in body


def test_what_is_said_of_rules_elsewhere_names_rules_that_there_are():
    local = re.findall(r"^localrules:\n((?:    .*\n)+)", "".join(map(Path.read_text, SOURCES)), re.MULTILINE)
    profiles = [yaml.safe_load(path.read_text()) for path in REPOSITORY.glob("profiles/*/*.yaml")]
    asked = {name for profile in profiles for name in profile.get("set-resources", {})}
    assert local
    assert asked
    assert asked | set(re.findall(r"\w+", "".join(local))) <= set(RULES)


def test_scripts_and_rules_belong_together():
    named = {match for body in RULES.values() for match in re.findall(r'"\.\./scripts/(\w+\.py)"', body)}
    assert named == {path.name for path in (REPOSITORY / "workflow" / "scripts").glob("*.py")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sedes": [0]}, "sedes: unknown key; did you mean 'seeds'?"),
        ({"train": {"lr": "1e-3"}}, "train.lr: input should be a valid number, found '1e-3' (str)"),
        (
            {"overrides": [{"train": {"nesterov": True}}, {"method": "awn", "train": {"momentum": 0.0}}]},
            "nesterov needs a momentum above 0",
        ),
        ({"track": {"layer": "norm9"}}, "track.layer: no norm layer 'norm9' (the model has: norm1, norm2, norm3)"),
        ({"transfer": {}}, "transfer.optimizers: is required"),
        ({"study": None}, "study: is required"),
    ],
)
def test_wrong_configuration_is_refused_at_once(workflow, make_study, change, words):
    data = {**make_study("wrong", "awn"), **change}
    workflow.configure({key: value for key, value in data.items() if value is not None})
    code, output = workflow.call()
    assert code == 1
    assert "study.yaml cannot be used:\n" in output
    assert words in output
    assert "Traceback" not in output
    assert len(output.splitlines()) < 45
    assert not workflow.results("wrong").exists()
