"""Data sets: from files or packages (``prepare_dataset``) to batches on a device (``TrainingImages``).

``prepare_dataset`` reads any source that a config can name into ``ImageData``, which is saved once and loaded by
every training run (``load_dataset``). A streamed data set is an ``ImageIndex`` instead: its images stay in their files.
Images without labels are ``ImagePairs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from awnlib.lazy import lazy_names, names_for_types

if TYPE_CHECKING:
    from awnlib.data.access import all_test_batches as all_test_batches
    from awnlib.data.access import chosen_training_batches as chosen_training_batches
    from awnlib.data.access import training_images as training_images
    from awnlib.data.batches import TrainingImages as TrainingImages
    from awnlib.data.batches import epoch_order as epoch_order
    from awnlib.data.batches import evaluation_batches as evaluation_batches
    from awnlib.data.image_data import ImageData as ImageData
    from awnlib.data.image_index import DataSet as DataSet
    from awnlib.data.image_index import ImageIndex as ImageIndex
    from awnlib.data.image_index import load_dataset as load_dataset
    from awnlib.data.image_pairs import ImagePair as ImagePair
    from awnlib.data.image_pairs import ImagePairs as ImagePairs
    from awnlib.data.prepare import prepare_dataset as prepare_dataset
    from awnlib.data.raw import DataError as DataError
    from awnlib.data.source_files import data_folder as data_folder

__getattr__ = lazy_names(__name__, names_for_types(__file__))
