import pytest
import torch

from awnlib.data import ImageData, TrainingImages, epoch_order, evaluation_batches
from awnlib.seeding import rng
from awnlib.torchvision_shim import import_torchvision

CPU = torch.device("cpu")


def make_data(num_images: int = 50, shape: tuple[int, int, int] = (3, 6, 7)) -> ImageData:
    images = torch.randint(256, (num_images, *shape), generator=rng(0, "images"), dtype=torch.uint8)
    labels = torch.arange(num_images) % 5
    mean, std = (0.4, 0.5, 0.3)[: shape[0]], (0.2, 0.25, 0.3)[: shape[0]]
    return ImageData("random", images, labels, images[:4], labels[:4], tuple("abcde"), mean, std, "")


def positions(height: int, width: int) -> ImageData:
    """An image whose pixels tell where they come from, and are 0 only in the padding."""
    pixels = torch.arange(1, height * width + 1, dtype=torch.uint8).view(1, 1, height, width).expand(4000, -1, -1, -1)
    labels = torch.zeros(4000, dtype=torch.int64)
    return ImageData("positions", pixels, labels, pixels[:1], labels[:1], ("a",), (0.0,), (1.0,), "")


def augment_slowly(data: ImageData, indices: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Crop and mirror each image in turn, with torchvision."""
    transforms = import_torchvision().transforms
    _, height, width = data.image_shape
    offsets = torch.randint(9, (2, len(indices)), generator=generator)
    flips = torch.randint(2, (1, len(indices)), generator=generator)
    images = []
    for position, index in enumerate(indices):
        image = transforms.functional.pad(data.train_images[index], [4, 4, 4, 4])
        image = transforms.functional.crop(image, *offsets[:, position].tolist(), height, width)
        if flips[0, position]:
            image = transforms.functional.hflip(image)
        images.append(transforms.Normalize(data.mean, data.std)(image.float() / 255))
    return torch.stack(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_crop_flip_is_the_slow_version(channels):
    data = make_data(shape=(channels, 6, 7))
    indices = torch.randperm(50)[:32]
    images, labels = TrainingImages(data, "crop_flip", CPU).batch(indices, rng(1))
    assert images.shape == (32, channels, 6, 7)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images, augment_slowly(data, indices, rng(1)))
    assert torch.equal(labels, data.train_labels[indices])


def test_every_offset_occurs_and_half_of_the_images_are_mirrored():
    images, _ = TrainingImages(positions(9, 11), "crop_flip", CPU).batch(torch.arange(4000), rng(0))
    middle, right = (images[:, 0, 4, column].mul(255).round().long() for column in (5, 6))  # never in the padding
    assert set((right - middle).tolist()) == {1, -1}
    assert 0.45 < (right < middle).double().mean() < 0.55
    places, counts = middle.unique(return_counts=True)
    assert len(places) == 81
    assert counts.min() > 20
    assert counts.max() < 90


def test_padding_is_black_before_normalisation():
    data = make_data()
    images, _ = TrainingImages(data, "crop_flip", CPU).batch(torch.zeros(200, dtype=torch.int64), rng(0))
    black = -torch.tensor(data.mean) / torch.tensor(data.std)
    torch.testing.assert_close(images.amin(dim=(0, 2, 3)), black)


def test_without_augmentation_images_are_normalised_as_torchvision_does():
    data = make_data()
    indices = torch.tensor([7, 3, 3])
    generator = rng(0)
    images, labels = TrainingImages(data, "none", CPU).batch(indices, generator)
    normalise = import_torchvision().transforms.Normalize(data.mean, data.std)
    torch.testing.assert_close(images, normalise(data.train_images[indices].float() / 255))
    assert labels.tolist() == [2, 3, 3]
    assert torch.equal(generator.get_state(), rng(0).get_state())  # it drew nothing


def test_equal_seeds_give_equal_bits():
    train_images = TrainingImages(make_data(), "crop_flip", CPU)
    first, again, other = (train_images.batch(torch.arange(50), rng(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_are_kept_as_bytes_and_not_copied_without_need():
    data = make_data(num_images=200, shape=(3, 32, 32))
    images = TrainingImages(data, "none", CPU)._images
    assert images.dtype == torch.uint8
    assert images.untyped_storage().nbytes() == 200 * 3 * 32 * 32
    grey = make_data(num_images=200, shape=(1, 32, 32))
    assert TrainingImages(grey, "none", CPU)._images.data_ptr() == grey.train_images.data_ptr()
    padded = TrainingImages(data, "crop_flip", CPU)._images
    assert padded.dtype == torch.uint8
    assert padded.untyped_storage().nbytes() == 200 * 3 * 40 * 40


def test_unknown_augment_is_refused():
    with pytest.raises(ValueError, match=r"unknown augment 'mixup' \(allowed: none, crop_flip\)"):
        TrainingImages(make_data(), "mixup", CPU)


def test_an_epoch_shows_every_image_at_most_once_in_full_batches():
    batches = epoch_order(103, 10, seed=0, epoch=0)
    assert [len(batch) for batch in batches] == [10] * 10
    seen = torch.cat(batches).tolist()
    assert len(set(seen)) == 100
    assert set(seen) <= set(range(103))


def test_order_depends_on_seed_and_epoch_only():
    orders = {
        (seed, epoch): tuple(torch.cat(epoch_order(20, 5, seed=seed, epoch=epoch)).tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(orders.values())) == 9
    assert tuple(torch.cat(epoch_order(20, 5, seed=2, epoch=1)).tolist()) == orders[2, 1]


def test_a_set_smaller_than_a_batch_is_refused():
    assert len(epoch_order(10, 10, seed=0, epoch=0)) == 1
    with pytest.raises(ValueError, match="batch_size 11 is more than the 10 training images"):
        epoch_order(10, 11, seed=0, epoch=0)


def test_evaluation_shows_every_image_once_in_order():
    data = make_data()
    batches = list(evaluation_batches(data.train_images, data.train_labels, data.mean, data.std, 20, CPU))
    assert [len(labels) for _, labels in batches] == [20, 20, 10]
    images, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    expected, _ = TrainingImages(data, "none", CPU).batch(torch.arange(50), rng(0))
    assert torch.equal(images, expected)
    assert torch.equal(labels, data.train_labels)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_every_device_draws_the_same_crops():
    data, indices = make_data(), torch.arange(50)
    (on_cpu, labels), (on_gpu, gpu_labels) = (
        TrainingImages(data, "crop_flip", torch.device(device)).batch(indices, rng(3)) for device in ("cpu", "cuda")
    )
    assert gpu_labels.device.type == on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), on_cpu)
    assert torch.equal(gpu_labels.cpu(), labels)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_batches_come_in_the_layout_of_convolutions(augment):
    images = torch.randint(256, (6, 3, 8, 10), dtype=torch.uint8)
    labels = torch.arange(6)
    data = ImageData("x", images, labels, images, labels, tuple("abcdef"), (0.5,) * 3, (0.2,) * 3, "random")
    batch, _ = TrainingImages(data, augment, torch.device("cpu")).batch(torch.tensor([3, 1]), rng(0, "augment", 0))
    assert batch.is_contiguous(memory_format=torch.channels_last)
