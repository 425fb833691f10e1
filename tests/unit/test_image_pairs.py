"""Images of any size without labels, with small copies: from folders and parquet files, as they are found."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from awnlib.data import DataError, ImagePairs, load_dataset, prepare_dataset
from awnlib.data.bicubic import enlarged, to_image, to_pixels
from awnlib.data.config import DatasetConfig
from awnlib.data.prepared import prepare, read_contents
from awnlib.data.source_files import fingerprint
from awnlib.settings import ConfigError, parse

TRAIN = {"first": (70, 64), "second": (91, 67)}
TESTS = {"a": (81, 65), "b": (64, 90)}


def picture(name, size, mode="RGB"):
    """Smooth colours that a scaled copy keeps, different for each name."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    waves = [np.sin(x * (channel + 1) + len(name) + ord(name[0])) + np.cos(y) for channel in range(3)]
    image = Image.fromarray((60 * np.stack(waves, axis=2) + 128).astype(np.uint8))
    return image.convert(mode)


def encoded(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_folder(place, sizes, **options):
    place.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        picture(name, size, **options).save(place / f"{name}.png")


def write_parquet(file, sizes, *, named=True):
    file.parent.mkdir(parents=True, exist_ok=True)
    columns = {"image": [encoded(picture(name, size)) for name, size in sizes.items()]}
    pq.write_table(pa.table(columns | ({"name": list(sizes)} if named else {})), file)


def config(**changes):
    settings = {"source": "photographs", "path": "train", "scale": 2, "test_paths": {"some": "tests"}}
    return parse(DatasetConfig, settings | changes)


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "train", TRAIN)
    write_folder(tmp_path / "tests", TESTS)
    return tmp_path


def prepared(folder, **changes):
    return prepare_dataset("photos", config(**changes), folder)


# --- what is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 3])
def test_images_are_cut_to_multiples_and_have_pils_copies(tmp_path, scale):
    sizes = {name: (2 * width, 2 * height) for name, (width, height) in TRAIN.items()}
    write_folder(tmp_path / "train", sizes)
    write_folder(tmp_path / "tests", sizes)
    data = prepared(tmp_path, scale=scale)
    assert [pair.name for pair in data.train] == ["first", "second"]
    for pair in data.train:
        width, height = (side // scale for side in sizes[pair.name])
        cut = picture(pair.name, sizes[pair.name]).crop((0, 0, width * scale, height * scale))
        assert np.array_equal(pair.high.numpy(), np.asarray(cut).transpose(2, 0, 1))
        copy = cut.resize((width, height), Image.Resampling.BICUBIC)
        assert np.array_equal(pair.low.numpy(), np.asarray(copy).transpose(2, 0, 1))
        again = copy.resize(cut.size, Image.Resampling.BICUBIC)
        assert np.array_equal(enlarged(pair.low, scale).numpy(), np.asarray(again).transpose(2, 0, 1))


def test_parquet_files_of_a_split_alone_are_read(folder):
    """A data set's folder has both: what is tested on is never trained on."""
    write_parquet(folder / "both" / "train.parquet", TRAIN)
    write_parquet(folder / "both" / "val.parquet", TESTS)
    data = prepared(folder, path="both", test_paths={"some": "both", "others": "tests"})
    assert [pair.name for pair in data.train] == list(TRAIN)
    assert {test: [pair.name for pair in pairs] for test, pairs in data.tests.items()} == {
        "some": list(TESTS),
        "others": list(TESTS),
    }
    same = prepared(folder)
    for one, other in zip(data.train, same.train, strict=True):
        assert torch.equal(one.high, other.high)
    assert (data.mean, data.std) == (same.mean, same.std)


def test_images_without_names_have_numbers(tmp_path):
    write_parquet(tmp_path / "all" / "train-00000-of-00002.parquet", {"x": (64, 64)}, named=False)
    write_parquet(tmp_path / "all" / "train-00001-of-00002.parquet", TRAIN, named=False)
    write_parquet(tmp_path / "all" / "test.parquet", TESTS, named=False)
    data = prepared(tmp_path, path="all", test_paths={"some": "all"})
    assert [pair.name for pair in data.train] == ["0", "1", "2"]


def test_grey_images_stay_grey(folder):
    write_folder(folder / "tests", {"grey": (64, 64)}, mode="L")
    grey = next(pair for pair in prepared(folder).tests["some"] if pair.name == "grey")
    assert grey.high.shape == (1, 64, 64)
    assert grey.low.shape == (1, 32, 32)
    assert enlarged(grey.low, 2).shape == (1, 64, 64)
    assert torch.equal(to_pixels(to_image(grey.high)), grey.high)


def test_the_copies_of_div2k_are_its_own(tmp_path):
    write_folder(tmp_path / "DIV2K" / "DIV2K_train_HR", TRAIN)
    write_folder(tmp_path / "DIV2K" / "DIV2K_valid_HR", TESTS)
    copies = tmp_path / "DIV2K" / "DIV2K_train_LR_bicubic" / "X2"
    copies.mkdir(parents=True)
    for name, (width, height) in TRAIN.items():
        Image.new("RGB", (width // 2, height // 2), (7, 8, 9)).save(copies / f"{name}x2.png")
    layout = {"path": "DIV2K/DIV2K_train_HR", "test_paths": {"div2k": "DIV2K/DIV2K_valid_HR"}}
    data = prepared(tmp_path, **layout)
    assert all(pair.low.amax() == 9 for pair in data.train)
    assert all(pair.low.amax() > 9 for pair in data.tests["div2k"])  # no folder of copies: made here
    Image.new("RGB", (5, 5)).save(copies / "firstx2.png")
    with pytest.raises(DataError, match=r"first\.png: its small copy has 5 x 5 pixels in place of 35 x 32"):
        prepared(tmp_path, **layout)
    (copies / "firstx2.png").unlink()
    with pytest.raises(DataError, match=r"firstx2\.png"):
        prepared(tmp_path, **layout)


def test_mean_and_deviation_are_those_of_all_training_pixels(folder):
    data = prepared(folder)
    pixels = np.concatenate([pair.high.numpy().reshape(3, -1) for pair in data.train], axis=1) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(axis=1))
    np.testing.assert_allclose(data.std, pixels.std(axis=1))
    given = prepared(folder, mean=[0.4488, 0.4371, 0.4040], std=[0.5, 0.5, 0.5])
    assert (given.mean, given.std) == ((0.4488, 0.4371, 0.4040), (0.5, 0.5, 0.5))


def test_a_part_of_the_images_at_even_distances(folder):
    write_folder(folder / "train", {f"x{number}": (64, 64) for number in range(6)})
    assert [pair.name for pair in prepared(folder, train_size=4).train] == ["first", "x0", "x2", "x4"]
    assert len(prepared(folder, test_size=1).tests["some"]) == 1
    with pytest.raises(DataError, match=r"train: there are 8 images, fewer than the 9 asked for"):
        prepared(folder, train_size=9)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", ["train", "tests"])
def test_damaged_and_small_images_are_refused_by_name(folder, split):
    file = folder / split / "odd.png"
    file.write_bytes(encoded(picture("odd", (90, 90)))[:200])
    with pytest.raises(DataError, match=rf"{split}/odd\.png: not an image that can be used"):
        prepared(folder)
    picture("odd", (90, 63)).save(file)
    with pytest.raises(DataError, match=rf"{split}/odd\.png: 90 x 63 pixels are too few for scale 2 \(at least 64"):
        prepared(folder)


def test_what_is_missing_is_said(folder):
    with pytest.raises(DataError, match=r"nowhere: there is no such folder"):
        prepared(folder, test_paths={"some": "nowhere"})
    (folder / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: there are no images"):
        prepared(folder, path="empty")
    write_parquet(folder / "one" / "train.parquet", TRAIN)
    with pytest.raises(DataError, match=r"one: found no test\.parquet or validation\.parquet"):
        prepared(folder, test_paths={"some": "one"})


def test_two_images_of_one_name_are_refused(folder):
    picture("first", (70, 70)).save(folder / "train" / "first.bmp")
    with pytest.raises(DataError, match=r"train: several images are called first"):
        prepared(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": None}, "source 'photographs' needs a scale and test_paths"),
        ({"test_paths": {}}, "source 'photographs' needs a scale and test_paths"),
        ({"path": None}, "source 'photographs' needs a path"),
        ({"scale": 5}, "less than or equal to 4"),
        ({"image_size": 64}, "images of any size: no image_size, no augment"),
        ({"augment": "crop_flip"}, "images of any size: no image_size, no augment"),
        ({"source": "mnist"}, "scale and test_paths are options of source 'photographs'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)


# --- kept as a file --------------------------------------------------------------------------------------------------


def test_the_file_holds_all_and_the_same_data_give_the_same_bytes(folder, tmp_path):
    data = prepared(folder)
    data.save(tmp_path / "one")
    prepared(folder).save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = load_dataset(tmp_path / "one")
    assert isinstance(loaded, ImagePairs)
    assert (loaded.scale, loaded.mean, loaded.std, loaded.source) == (2, data.mean, data.std, data.source)
    for one, other in zip([*loaded.train, *loaded.tests["some"]], [*data.train, *data.tests["some"]], strict=True):
        assert one.name == other.name
        assert torch.equal(one.high, other.high)
        assert torch.equal(one.low, other.low)


def test_digests_follow_the_pixels_that_each_part_reads(folder):
    before = prepared(folder)
    picture("new", (64, 64)).save(folder / "tests" / "new.png")
    after = prepared(folder)
    assert after.training_digest() == before.training_digest()
    assert after.test_digest() != before.test_digest()
    picture("other", TRAIN["first"]).save(folder / "train" / "first.png")
    assert prepared(folder).training_digest() != before.training_digest()


def test_a_changed_test_set_is_prepared_again(folder, tmp_path):
    before = fingerprint(config(), folder)
    prepare("photos", config(), folder, tmp_path / "data", tmp_path / "contents", asked=None)
    assert read_contents(tmp_path / "contents")["shape"] == [2]
    picture("new", (64, 64)).save(folder / "tests" / "new.png")
    assert fingerprint(config(), folder) != before
