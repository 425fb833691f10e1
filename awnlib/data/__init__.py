"""Data sets: from files or packages (``prepare_dataset``) to batches on a device (``TrainingImages``).

``prepare_dataset`` reads any source that a config can name into ``ImageData``, which is saved once and loaded by
every training run (``load_dataset``). A streamed data set is an ``ImageIndex`` instead: its images stay in their files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from awnlib.lazy import lazy_names

if TYPE_CHECKING:
    from awnlib.data.access import all_test_batches, chosen_training_batches, training_images
    from awnlib.data.batches import TrainingImages, epoch_order, evaluation_batches
    from awnlib.data.image_data import ImageData
    from awnlib.data.image_index import DataSet, ImageIndex, load_dataset
    from awnlib.data.prepare import prepare_dataset
    from awnlib.data.raw import DataError
    from awnlib.data.source_files import data_folder

__all__ = [
    "DataError",
    "DataSet",
    "ImageData",
    "ImageIndex",
    "TrainingImages",
    "all_test_batches",
    "chosen_training_batches",
    "data_folder",
    "epoch_order",
    "evaluation_batches",
    "load_dataset",
    "prepare_dataset",
    "training_images",
]

__getattr__ = lazy_names(
    __name__,
    {
        "DataError": "awnlib.data.raw",
        "DataSet": "awnlib.data.image_index",
        "ImageData": "awnlib.data.image_data",
        "ImageIndex": "awnlib.data.image_index",
        "TrainingImages": "awnlib.data.batches",
        "all_test_batches": "awnlib.data.access",
        "chosen_training_batches": "awnlib.data.access",
        "epoch_order": "awnlib.data.batches",
        "evaluation_batches": "awnlib.data.batches",
        "load_dataset": "awnlib.data.image_index",
        "prepare_dataset": "awnlib.data.prepare",
        "training_images": "awnlib.data.access",
    },
)
