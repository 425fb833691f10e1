import os
import platform
import subprocess
import sys

import pytest

from awnlib.jobs import hardware
from awnlib.settings import ConfigError


@pytest.mark.parametrize(
    ("device", "there", "wanted"),
    [("cuda", False, True), ("cpu", True, False), ("auto", True, True), ("auto", False, False)],
)
def test_a_gpu_is_wanted_where_asked_for_or_found(monkeypatch, tmp_path, device, there, wanted):
    monkeypatch.setattr(hardware, "NVIDIA_DEVICE", tmp_path if there else tmp_path / "none")
    assert hardware.wants_gpu(device) is wanted


@pytest.mark.parametrize("num_gpus", [None, 0, 4, 8])
def test_enough_gpus_for_all_processes(num_gpus):
    hardware.check_gpus("train_model", num_gpus, 4)


def test_too_few_gpus_are_refused():
    with pytest.raises(ConfigError, match=r"num_processes is 4, but .* train_model gpu: 3; it must be gpu: 4 there"):
        hardware.check_gpus("train_model", 3, 4)


X86 = "processor : 0\nflags\t\t: fpu sse4_1 avx2{}\n"
ARM = "processor : 0\nFeatures\t: fp asimd{}\n"
NEWEST = X86.format(" avx512f avx512bw avx512_bf16 amx_bf16")


@pytest.fixture
def cpu(monkeypatch, tmp_path):
    """Return a function that makes this CPU the one of a /proc/cpuinfo, under a limit of oneDNN."""

    def become(text, limit=None, name="ONEDNN_MAX_CPU_ISA"):
        monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "cpuinfo")
        (tmp_path / "cpuinfo").write_text(text)
        for variable in hardware.MOST_INSTRUCTIONS:
            monkeypatch.delenv(variable, raising=False)
        if limit is not None:
            monkeypatch.setenv(name, limit)
        hardware._say_once.cache_clear()

    return become


@pytest.mark.parametrize(
    ("text", "limit", "features"),
    [
        (X86.format(""), None, set()),
        (X86.format(" avx512f avx512bw"), None, {"avx512"}),
        (X86.format(" avx512f avx512_bf16"), None, {"avx512", "bfloat16"}),
        (X86.format(" avx512f amx_tile amx_bf16"), "DEFAULT", {"avx512", "bfloat16"}),
        (NEWEST, "AVX2", set()),
        (NEWEST, "avx2_vnni_2", set()),
        (NEWEST, "SSE41", set()),
        (NEWEST, "AVX512_CORE_VNNI", {"avx512"}),
        (NEWEST, "AVX512_CORE_BF16", {"avx512", "bfloat16"}),
        (NEWEST, "AVX512_CORE_AMX_FP16", {"avx512", "bfloat16"}),
        (NEWEST, "AVX10_1_512", {"avx512", "bfloat16"}),
        (X86.format(""), "AVX512_CORE_AMX", set()),  # a limit adds nothing
        (ARM.format(""), None, set()),
        (ARM.format(" bf16"), None, {"bfloat16"}),
    ],
)
def test_features_are_those_of_the_cpu_that_onednn_may_use(cpu, text, limit, features):
    cpu(text, limit)
    assert hardware.cpu_features() == features


def test_both_names_of_the_limit_count(cpu):
    cpu(NEWEST, "AVX2", name="DNNL_MAX_CPU_ISA")
    assert hardware.cpu_features() == set()


@pytest.mark.skipif(platform.system() != "Linux", reason="elsewhere the system does not tell")
@pytest.mark.parametrize("limit", ["DEFAULT", "AVX2", "AVX512_CORE"])
def test_features_are_those_that_torch_sees(limit):
    """Torch asks oneDNN whether it may use AVX-512 (with which it can store bfloat16), and the CPU for the rest."""
    code = """
import torch
from awnlib.jobs.hardware import cpu_features
print("avx512" in cpu_features(), torch.ops.mkldnn._is_mkldnn_bf16_supported())
print("bfloat16" in cpu_features(), torch.cpu._is_avx512_bf16_supported())
"""
    if platform.machine() != "x86_64":
        pytest.skip("torch asks other questions there")
    command, environment = [sys.executable, "-c", code], {**os.environ, "ONEDNN_MAX_CPU_ISA": limit}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    wide, exact = (line.split() for line in output.splitlines())
    assert wide[0] == wide[1]
    assert exact[0] == (exact[1] if limit == "DEFAULT" else "False")


def test_slow_bfloat16_is_said_once(cpu, capsys):
    cpu(NEWEST, "AVX2")
    hardware.warn_of_slow_bfloat16(["float32", "bfloat16"], "cpu")
    hardware.warn_of_slow_bfloat16(["bfloat16"], "cpu")
    said = capsys.readouterr().err
    assert said.startswith("precision: bfloat16 is far slower than float32 on this CPU")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "precision", "device"),
    [(NEWEST, "bfloat16", "cpu"), (X86.format(""), "float32", "cpu"), (X86.format(""), "bfloat16", "cuda")],
)
def test_nothing_is_said_where_bfloat16_is_fast_or_not_asked_for(cpu, capsys, text, precision, device):
    cpu(text)
    hardware.warn_of_slow_bfloat16([precision], device)
    assert capsys.readouterr().err == ""


def test_nothing_is_said_where_the_system_does_not_tell(cpu, monkeypatch, tmp_path, capsys):
    cpu(NEWEST)
    monkeypatch.setattr(hardware, "CPU_INFO", tmp_path / "none")
    hardware.warn_of_slow_bfloat16(["bfloat16"], "cpu")
    assert hardware.cpu_features() is None
    assert capsys.readouterr().err == ""
