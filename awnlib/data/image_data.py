"""A data set ready for training, in memory (``ImageData``) and as one safetensors file."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from awnlib.data.raw import DataError
from awnlib.files import atomic_path, why_unreadable

_TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
_METADATA = "awnlib.image_data"  # one key: safetensors writes several in no fixed order, and files would differ


def digest_of(about: object, *tensors: Tensor) -> str:
    """Return a digest of tensors and of what else there is to say, as its `repr`."""
    digest = hashlib.sha256(repr((about, [tensor.shape for tensor in tensors])).encode())
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ImageData:
    """Training and test images of one data set.

    Attributes
    ----------
    name
        The data set's name in the study.
    train_images, test_images
        uint8 [N, C, H, W].
    train_labels, test_labels
        int64 [N], from 0 to ``num_classes - 1``.
    classes
        Names of the classes.
    mean, std
        Per channel, of the training images scaled to [0, 1]; ``std`` is the population's.
    source
        In words: where the images came from and what was done to them.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)

    def choose_training(self, indices: Tensor) -> ImageData:
        """Return the data set with these of its training images; mean and std stay as they are."""
        return replace(self, train_images=self.train_images[indices], train_labels=self.train_labels[indices])

    def training_digest(self) -> str:
        """Return a digest of all that training reads; where the images came from does not count."""
        return digest_of((self.num_classes, self.mean, self.std), self.train_images, self.train_labels)

    def test_digest(self) -> str:
        """Return a digest of all that evaluation reads."""
        return digest_of((self.num_classes, self.mean, self.std), self.test_images, self.test_labels)

    def save(self, path: str | Path) -> None:
        """Write the data set to one safetensors file; the same data give the same bytes."""
        words = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _TENSORS}
        tensors = {name: getattr(self, name).contiguous() for name in _TENSORS}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, metadata={_METADATA: json.dumps(words)})

    @classmethod
    def load(cls, path: str | Path) -> ImageData:
        """Read what ``save`` wrote.

        Raises
        ------
        DataError
            If the file is missing, truncated, or something else.
        """
        try:
            Path(path).open("rb").close()  # safe_open says less of what is wrong
        except OSError as error:
            raise DataError(f"{why_unreadable(path, error)}: prepare the data set first") from None
        try:
            with safe_open(path, framework="pt") as file:
                words = json.loads((file.metadata() or {})[_METADATA])
                tensors = {name: file.get_tensor(name) for name in _TENSORS}
            words.update({name: tuple(words[name]) for name in ("classes", "mean", "std")})
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{path} is damaged or not a prepared data set ({error}): delete it and prepare the data set again"
            ) from None
        return cls(**words, **tensors)
