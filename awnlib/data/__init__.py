"""Data sets: from files or packages (``prepare_dataset``) to batches on a device (``TrainingImages``).

``prepare_dataset`` reads any source that a config can name into ``ImageData``, which is saved once and loaded by
every training run.
"""

from awnlib.data.batches import TrainingImages, epoch_order, evaluation_batches
from awnlib.data.image_data import ImageData
from awnlib.data.prepare import prepare_dataset
from awnlib.data.raw import DataError, data_folder

__all__ = [
    "DataError",
    "ImageData",
    "TrainingImages",
    "data_folder",
    "epoch_order",
    "evaluation_batches",
    "prepare_dataset",
]
