import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from awnlib.torchvision_shim import import_torchvision


@pytest.fixture
def fake_torchvision(tmp_path, monkeypatch):
    """Give a function that puts a package of the name torchvision in front of the installed one."""

    def modules() -> list[str]:
        return [name for name in sys.modules if name.split(".")[0] == "torchvision"]

    for name in modules():
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)

    def write(code: str) -> None:
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text(f"from torchvision import part\n{code}")
        (package / "part.py").write_text("")

    yield write
    for name in modules():
        del sys.modules[name]


@pytest.fixture
def declared(monkeypatch) -> list[str]:
    """The operators that are declared in the test, without declaring them."""
    names: list[str] = []

    class Library:
        schemas = names

        def __init__(self, namespace, kind):
            assert (namespace, kind) == ("torchvision", "DEF")

        def define(self, schema):
            names.append(schema.split("(")[0])

    monkeypatch.setattr(torch.library, "Library", Library)
    monkeypatch.setattr("awnlib.torchvision_shim._declarations", [])
    return names


def test_data_sets_transforms_and_models_can_be_used():
    torchvision = import_torchvision()
    assert torchvision.datasets.MNIST.__name__ == "MNIST"
    assert torchvision.transforms.CenterCrop(2)(torch.zeros(1, 4, 4)).shape == (1, 2, 2)
    assert torchvision.models.resnet18(num_classes=3).fc.out_features == 3
    assert import_torchvision() is torchvision


def test_works_in_a_fresh_process():
    code = (
        "from awnlib.torchvision_shim import import_torchvision as load; first = load(); import torchvision;"
        "assert torchvision is first is load(); import torchvision.ops; print(torchvision.datasets.CIFAR10.__name__)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "CIFAR10"


def test_does_nothing_for_wheels_that_match(fake_torchvision, declared):
    fake_torchvision("x = 1")
    assert import_torchvision().x == 1
    assert declared == []


def test_declares_the_missing_operators_and_imports_every_module_anew(fake_torchvision, declared):
    fake_torchvision(
        "import torch\n"
        "part.number_of_imports = getattr(part, 'number_of_imports', 0) + 1\n"
        "if not torch.library.Library.schemas:\n"
        "    raise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    torchvision = import_torchvision()
    assert declared == ["nms", "qnms"]
    assert torchvision.part.number_of_imports == 1  # of a new module, not of what the failed import left
    assert sys.modules["torchvision"] is torchvision


def test_declares_only_once(fake_torchvision, declared):
    fake_torchvision("raise RuntimeError('operator torchvision::nms does not exist')")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="torchvision::nms"):
            import_torchvision()
    assert declared == ["nms", "qnms"]


@pytest.mark.parametrize("error", ["ImportError('libjpeg is missing')", "RuntimeError('CUDA versions differ')"])
def test_passes_other_errors_on(fake_torchvision, declared, error):
    fake_torchvision(f"raise {error}")
    with pytest.raises((ImportError, RuntimeError), match=error.split("'")[1]):
        import_torchvision()
    assert declared == []


def test_nothing_else_in_the_package_imports_torchvision():
    package = Path(sys.modules["awnlib.torchvision_shim"].__file__).parent
    statement = re.compile(r"^\s*(import|from) torchvision\b", re.MULTILINE)
    assert [file for file in package.rglob("*.py") if statement.search(file.read_text())] == []
