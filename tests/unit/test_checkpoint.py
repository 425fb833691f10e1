import pytest
import torch
from safetensors.torch import save_file

from awnlib.evaluation.recalibrate import recalibrate_bn
from awnlib.jobs.checkpoint import CheckpointError, load_tensors, save_tensors
from awnlib.models import create_model, load_model, save_model
from awnlib.seeding import rng

TENSORS = {
    "a": torch.arange(6.0).view(2, 3).T,  # not contiguous
    "image": torch.rand(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "half": torch.tensor([0.1], dtype=torch.bfloat16),
    "nan": torch.tensor(float("nan")),
    "count": torch.tensor(7),
}


def test_tensors_and_metadata_come_back(tmp_path):
    metadata = {"step": 3, "history": [{"loss": 0.1, "width_mult": None}], "text": 'a "b"\n', "identity": ["x", [1]]}
    save_tensors(tmp_path / "new" / "a.safetensors", TENSORS, metadata)
    tensors, found = load_tensors(tmp_path / "new" / "a.safetensors")
    assert found == metadata
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=0, equal_nan=True)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_tensors(path, TENSORS, {"step": 3})
    return path


@pytest.mark.parametrize("damage", ["empty", "header", "tail", "garbage", "text"])
def test_damaged_file_is_named(file, damage):
    content = file.read_bytes()
    harmed = {
        "empty": b"",
        "header": content[:20],
        "tail": content[:-1],
        "garbage": b"\xff" * 200,
        "text": b"not a safetensors file, but long enough to have a header",
    }
    file.write_bytes(harmed[damage])
    with pytest.raises(CheckpointError) as caught:
        load_tensors(file)
    assert f"{file} is damaged" in str(caught.value)
    assert "delete it and run again" in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.safetensors does not exist"):
        load_tensors(tmp_path / "none.safetensors")


def trained_model(norm="shared", **options):
    model = create_model("lenet_3c1l", input_shape=[1, 16, 16], num_classes=4, norm=norm, **options).train()
    with torch.no_grad():
        model.set_width_mult(1.0)
        model(torch.rand(8, 1, 16, 16, generator=rng(0)))
    return model


@pytest.mark.parametrize("options", [{}, {"norm": "switchable"}, {"dense_base": True, "divisor": 8}])
def test_model_comes_back_whole(tmp_path, options):
    model = trained_model(**options)
    model.set_width_mult(0.3)
    save_model(tmp_path / "m.safetensors", model, run={"seed": 1})
    loaded, metadata = load_model(tmp_path / "m.safetensors")
    assert metadata == {"run": {"seed": 1}}
    assert loaded.spec == model.spec
    assert not loaded.training
    images = torch.rand(4, 1, 16, 16, generator=rng(1))
    torch.testing.assert_close(loaded(images), full_width(model)(images), rtol=0, atol=0)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)


def full_width(model):
    model.set_width_mult(1.0)
    return model.eval()


def test_recalibrated_model_comes_back_with_its_new_switches(tmp_path):
    model = trained_model("switchable", layer="sliced", affine="shared", switches=[1.0, 0.25])
    batch = torch.rand(8, 1, 16, 16, generator=rng(2))
    recalibrate_bn(model, [batch], [0.25, 0.6, 1.0])
    save_model(tmp_path / "m.safetensors", model)
    loaded, _ = load_model(tmp_path / "m.safetensors")
    for width in (0.25, 0.5, 1.0):
        model.eval().set_width_mult(width)
        loaded.set_width_mult(width)
        torch.testing.assert_close(loaded(batch), model(batch), rtol=0, atol=0)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("load", [load_tensors, load_model])
def test_a_file_of_torch_save_is_not_called_damaged(tmp_path, load, zipped):
    path = tmp_path / "resnet18.pth"
    torch.save({"conv1.weight": torch.zeros(2)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"resnet18\.pth is a pickle, as torch\.save writes it") as caught:
        load(path)
    assert "load_torchvision_weights" in str(caught.value)
    assert "delete" not in str(caught.value)


def test_a_file_that_begins_like_a_pickle_is_read(tmp_path):
    for length in range(0, 800, 8):
        save_tensors(tmp_path / "a", {"count": torch.tensor(7)}, {"text": "x" * length})
        if (tmp_path / "a").read_bytes()[:2] == b"\x80\x02":
            break
    assert (tmp_path / "a").read_bytes()[:2] == b"\x80\x02"
    assert load_tensors(tmp_path / "a")[0] == {"count": torch.tensor(7)}


def test_safetensors_of_others_are_not_called_damaged(tmp_path):
    for name, metadata in (("with.safetensors", {"format": "pt"}), ("without.safetensors", None)):
        save_file({"conv1.weight": torch.zeros(2)}, tmp_path / name, metadata)
        with pytest.raises(CheckpointError, match=f"{name} holds (no model|tensors).* is none of awnlib's") as caught:
            load_model(tmp_path / name)
        assert "delete" not in str(caught.value)


def test_what_cannot_be_read_is_named(tmp_path):
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "folder").mkdir()
    for name, why in (("link", "is a link to gone, which is not there"), ("folder", "is a folder, not a file")):
        with pytest.raises(CheckpointError, match=f"{name} {why}"):
            load_tensors(tmp_path / name)


def test_model_file_of_an_unknown_description_is_named(tmp_path):
    spec = trained_model().spec.model_dump()
    for name, changed in (("key", {"later": 1}), ("name", {"name": "lenet_5"})):
        save_tensors(tmp_path / name, TENSORS, {"spec": {**spec, **changed}})
        with pytest.raises(CheckpointError, match=f"{name} does not fit its own description"):
            load_model(tmp_path / name)


def test_file_without_a_model(file):
    with pytest.raises(CheckpointError, match="holds no model"):
        load_model(file)


def test_model_file_whose_tensors_do_not_fit(tmp_path):
    model = trained_model()
    tensors = {}
    path = tmp_path / "m.safetensors"
    save_tensors(path, tensors, {"spec": model.spec.model_dump()})
    with pytest.raises(CheckpointError, match=r"m\.safetensors does not fit") as caught:
        load_model(path)
    assert len(str(caught.value)) < 400
