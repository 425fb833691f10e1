import pytest

from awnlib import hardware


@pytest.mark.parametrize(
    ("device", "there", "wanted"),
    [("cuda", False, True), ("cpu", True, False), ("auto", True, True), ("auto", False, False)],
)
def test_a_gpu_is_wanted_where_asked_for_or_found(monkeypatch, tmp_path, device, there, wanted):
    monkeypatch.setattr(hardware, "NVIDIA_DEVICE", tmp_path if there else tmp_path / "none")
    assert hardware.wants_gpu(device) is wanted
