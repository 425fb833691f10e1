"""The kinds of studies: which one a configuration is of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from awnlib.settings import read_yaml
from awnlib.studies.transfer.config import TransferStudy, parse_transfer_study
from awnlib.studies.widths.config import StudyConfig, parse_study


def parse_any_study(data: dict[str, Any], *, origin: str = "config") -> StudyConfig | TransferStudy:
    """Validate plain data as a study; one with the key `transfer` is a width-transfer study.

    Raises
    ------
    ConfigError
        With every problem found.
    """
    return parse_transfer_study(data, origin=origin) if "transfer" in data else parse_study(data, origin=origin)


def load_any_study(path: Path) -> StudyConfig | TransferStudy:
    """Read and validate the YAML file of a study of any kind, as `parse_any_study` does."""
    return parse_any_study(read_yaml(path), origin=str(path))
