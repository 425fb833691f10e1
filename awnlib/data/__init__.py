"""Data sets: from files or packages (``prepare_dataset``) to batches on a device (``TrainingImages``).

``prepare_dataset`` reads any source that a config can name into ``ImageData``, which is saved once and loaded by
every training run (``load_dataset``). A streamed data set is an ``ImageIndex`` instead: its images stay in their files.
"""

from awnlib.data.access import all_test_batches, chosen_training_batches, training_images
from awnlib.data.batches import TrainingImages, epoch_order, evaluation_batches
from awnlib.data.image_data import ImageData
from awnlib.data.image_index import DataSet, ImageIndex, load_dataset
from awnlib.data.prepare import prepare_dataset
from awnlib.data.raw import DataError
from awnlib.source_files import data_folder

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
