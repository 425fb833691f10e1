"""What a newcomer copies: the README's lines and docs/own_network.md, run as they stand."""

import re

import pytest
import torch

from awnlib.torchvision_shim import import_torchvision


def blocks(page):
    """Return the Python of a page that has to do with torchvision's networks and what follows from it."""
    found = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    first = next(index for index, block in enumerate(found) if "torchvision.models" in block)
    return found[first:]


@pytest.mark.parametrize(
    ("page", "network"), [("README.md", "resnet18"), ("docs/own_network.md", "mobilenet_v3_small")]
)
def test_the_lines_of_the_page_run(page, network, repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torchvision = import_torchvision()
    torch.manual_seed(0)
    names = {}
    for block in blocks(repository / page):
        exec(block, names)
    assert "dimensions follow the width" in capsys.readouterr().out
    model = names["model"]
    assert isinstance(model, type(getattr(torchvision.models, network)()))
    half = model.view().eval()
    half.set_width_mult(0.5)
    saved = torch.load("half.pt")
    assert saved.keys() <= model.state_dict().keys()
    assert sum(value.numel() for value in saved.values()) < sum(p.numel() for p in model.parameters()) / 2
    assert model.switch_width_mults == [0.25, 0.5, 0.75, 1.0]


def test_the_readmes_lines_are_ten_or_fewer(repository):
    (block,) = blocks(repository / "README.md")
    code = [line for line in block.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(code) <= 10
