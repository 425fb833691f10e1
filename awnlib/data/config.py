"""Where images come from and how they are presented: one data set of a study."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from awnlib.data.sources import source_names
from awnlib.settings import Settings

FILES = ("parquet", "image_folder", "photographs")
"""Sources that are files of the user's own."""


class DatasetConfig(Settings):
    """Where the images of a data set come from and how they are presented in training."""

    source: str = Field(description="what to read: a file of awnlib/data/sources, see docs/data.md")
    path: str | None = Field(
        default=None, description="folder inside the data folder; null: the usual name of the source"
    )
    download: bool = Field(default=False, description="fetch the data set if it is not in the data folder")
    image_size: int | None = Field(default=None, ge=8, description="resize to this many pixels; null: as stored")
    stream: bool = Field(
        default=False, description="read image files while they are needed: for sets that do not fit into memory"
    )
    scale: int | None = Field(
        default=None, ge=2, le=4, description="photographs: how many times as high and wide as its copy an image is"
    )
    test_paths: dict[str, str] = Field(
        default_factory=dict, description="photographs: the folder inside the data folder of each test set, by its name"
    )
    augment: Literal["none", "crop_flip", "resized_crop", "randaugment", "rand-m9-mstd0.5"] = Field(
        default="none",
        description="in training: random crop after padding by 4, random flip; streamed sets: crop of random size and "
        "shape, random flip; with torchvision's RandAugment besides, or with timm's of this name",
    )
    mean: list[float] | None = Field(
        default=None, description="of each channel, of images scaled to [0, 1]; null: measured on training images"
    )
    std: list[float] | None = Field(default=None, description="standard deviation, likewise")
    train_size: int | None = Field(
        default=None, ge=1, description="train on this many images, balanced over the classes if there are any"
    )
    test_size: int | None = Field(default=None, ge=1, description="test on this many images of each test set, likewise")

    def prepare_settings(self) -> dict[str, Any]:
        """Return the settings that decide which images a data set has; how they are augmented is not one."""
        return self.chosen({"augment"})

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, value: str) -> str:
        if value not in source_names():
            raise ValueError(f"unknown source '{value}' (allowed: {', '.join(source_names())})")
        return value

    @model_validator(mode="after")
    def _source_has_files(self) -> DatasetConfig:
        if self.source in FILES and self.path is None:
            raise ValueError(f"source '{self.source}' needs a path inside the data folder")
        if self.source == "mnist5k" and (self.path is not None or self.download):
            raise ValueError("source 'mnist5k' comes with a package: it has no path and no download")
        if self.source in FILES and self.download:
            raise ValueError(f"source '{self.source}' cannot be downloaded: put the files into the data folder")
        return self

    @model_validator(mode="after")
    def _pairs_or_labels(self) -> DatasetConfig:
        if self.source != "photographs":
            if self.scale is not None or self.test_paths:
                raise ValueError("scale and test_paths are options of source 'photographs'")
            return self
        if self.scale is None or not self.test_paths:
            raise ValueError("source 'photographs' needs a scale and test_paths")
        if self.image_size is not None or self.augment != "none":
            raise ValueError("source 'photographs' has images of any size: no image_size, no augment")
        return self

    @model_validator(mode="after")
    def _streamed_or_in_memory(self) -> DatasetConfig:
        self.check_augment(self.augment)
        if self.stream and (self.source != "image_folder" or self.image_size is None):
            raise ValueError("stream needs source 'image_folder' and an image_size")
        return self

    def check_augment(self, augment: str) -> None:
        """Raise a ValueError, with what is allowed, if the images of this data set cannot be augmented so."""
        allowed = ("none", "resized_crop", "randaugment", "rand-m9-mstd0.5") if self.stream else ("none", "crop_flip")
        if augment not in allowed:
            raise ValueError(f"augment '{augment}' with stream {self.stream} (allowed: {', '.join(allowed)})")

    @model_validator(mode="after")
    def _mean_and_std_of_the_same_channels(self) -> DatasetConfig:
        if (self.mean is None) != (self.std is None) or len(self.mean or []) != len(self.std or []):
            raise ValueError("mean and std must be given together, a number for each channel")
        if any(value <= 0 for value in self.std or []):
            raise ValueError(f"std must be above 0, found {self.std}")
        return self
