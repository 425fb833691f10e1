import pytest

from awnlib import hardware
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
