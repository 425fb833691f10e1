"""A data set without labels: images of any size with a small copy of each (``ImagePairs``), kept as one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from awnlib.data.image_data import digest_of
from awnlib.files import atomic_path

METADATA = "awnlib.image_pairs"
_WORDS = ("name", "scale", "mean", "std", "source")


@dataclass(frozen=True, eq=False)
class ImagePair:
    """An image, uint8 [C, scale * h, scale * w], and its small copy, [C, h, w]; one colour if it is stored in grey."""

    name: str
    high: Tensor
    low: Tensor


@dataclass(frozen=True, eq=False)
class ImagePairs:
    """Training images and test sets.

    Attributes
    ----------
    name
        The data set's name in the study.
    scale
        How many times as high and wide as its copy an image is.
    train
        The training images, of any sizes.
    tests
        The images of each test set by its name.
    mean, std
        Of each of three colours, of training images scaled to [0, 1].
    source
        In words: where the images came from.
    """

    name: str
    scale: int
    train: Sequence[ImagePair]
    tests: Mapping[str, Sequence[ImagePair]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    def training_digest(self) -> str:
        """Return a digest of all that training reads; where the images came from does not count."""
        return digest_of((self.scale, self.mean, self.std), *_tensors(self.train))

    def test_digest(self) -> str:
        """Return a digest of all that evaluation reads, the names of test sets and their images among it."""
        names = {test: [pair.name for pair in pairs] for test, pairs in self.tests.items()}
        every = [pair for pairs in self.tests.values() for pair in pairs]
        return digest_of((self.scale, self.mean, self.std, names), *_tensors(every))

    def save(self, path: str | Path) -> None:
        """Write the data set to one safetensors file; the same data give the same bytes."""
        splits = {"train": self.train, **{f"test/{name}": pairs for name, pairs in self.tests.items()}}
        words = {name: getattr(self, name) for name in _WORDS}
        names = {split: [pair.name for pair in pairs] for split, pairs in splits.items()}
        tensors = {
            f"{split}/{number}/{part}": getattr(pair, part).contiguous()
            for split, pairs in splits.items()
            for number, pair in enumerate(pairs)
            for part in ("high", "low")
        }
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {METADATA: json.dumps({**words, "splits": names})})

    @classmethod
    def load(cls, path: str | Path) -> ImagePairs:
        """Read what `save` wrote."""
        with safe_open(path, framework="pt") as file:
            words = json.loads(file.metadata()[METADATA])
            splits = {
                split: [
                    ImagePair(name, *(file.get_tensor(f"{split}/{number}/{part}") for part in ("high", "low")))
                    for number, name in enumerate(names)
                ]
                for split, names in words.pop("splits").items()
            }
        words.update({name: tuple(words[name]) for name in ("mean", "std")})
        train = splits.pop("train")
        return cls(**words, train=train, tests={split.removeprefix("test/"): pairs for split, pairs in splits.items()})


def _tensors(pairs: Sequence[ImagePair]) -> list[Tensor]:
    return [tensor for pair in pairs for tensor in (pair.high, pair.low)]
