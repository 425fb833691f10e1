"""Convolutional networks whose width is chosen at run time.

The names of this module are what users may rely on; everything else may move. Importing it imports no torch.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from awnlib.lazy import lazy_names, names_for_types

if TYPE_CHECKING:
    from awnlib.channels import Channels as Channels
    from awnlib.convert.converted import ConvertedNetwork as ConvertedNetwork
    from awnlib.convert.slimmable import to_slimmable as to_slimmable
    from awnlib.convert.sort_channels import sort_channels as sort_channels
    from awnlib.data import load_dataset as load_dataset
    from awnlib.data import prepare_dataset as prepare_dataset
    from awnlib.deploy.anytime import AnytimeNetwork as AnytimeNetwork
    from awnlib.deploy.extract import extract as extract
    from awnlib.evaluation.auc import auc_pct as auc_pct
    from awnlib.evaluation.drift import bn_drift as bn_drift
    from awnlib.evaluation.recalibrate import recalibrate_bn as recalibrate_bn
    from awnlib.evaluation.sweep import sweep_widths as sweep_widths
    from awnlib.layers import PrefixHead as PrefixHead
    from awnlib.layers import Segments as Segments
    from awnlib.layers import SharedBatchNorm2d as SharedBatchNorm2d
    from awnlib.layers import SlimmableConv2d as SlimmableConv2d
    from awnlib.layers import SlimmableLayerNorm as SlimmableLayerNorm
    from awnlib.layers import SlimmableLinear as SlimmableLinear
    from awnlib.layers import SlimmableNetwork as SlimmableNetwork
    from awnlib.layers import SwitchableBatchNorm2d as SwitchableBatchNorm2d
    from awnlib.layers import TriangularConv2d as TriangularConv2d
    from awnlib.layers import TriangularLinear as TriangularLinear
    from awnlib.model_cost import Cost as Cost
    from awnlib.model_cost import cost as cost
    from awnlib.models import ModelSpec as ModelSpec
    from awnlib.models import SlimmableModel as SlimmableModel
    from awnlib.models import create_model as create_model
    from awnlib.models import load_model as load_model
    from awnlib.models import load_torchvision_weights as load_torchvision_weights
    from awnlib.models import model_names as model_names
    from awnlib.models import save_model as save_model
    from awnlib.results.schemas import read_table as read_table
    from awnlib.settings import ConfigError as ConfigError
    from awnlib.studies.widths.cells import runs as runs
    from awnlib.studies.widths.config import load_study as load_study
    from awnlib.studies.widths.config import parse_study as parse_study
    from awnlib.tasks import create_task as create_task
    from awnlib.tasks import task_names as task_names
    from awnlib.tasks.classification import backward_one_pass as backward_one_pass
    from awnlib.tasks.classification import backward_widths as backward_widths
    from awnlib.training.engine import train as train
    from awnlib.width_transfer.extrapolation import extrapolate as extrapolate
    from awnlib.width_transfer.search import search as search
    from awnlib.width_transfer.vector import WidthVector as WidthVector

NAMES = names_for_types(__file__)
"""The public names, and where they are today."""

__all__ = [*NAMES]
__getattr__ = lazy_names(__name__, NAMES)

try:
    __version__ = version("awnlib")
except PackageNotFoundError:  # a checkout that is on the path but not installed
    __version__ = "0+unknown"


def __dir__() -> list[str]:
    return sorted([*globals(), *NAMES])
