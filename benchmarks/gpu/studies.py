"""The studies of a GPU's minutes: rows of Table 2 with the paper's own settings, others as asked, and their images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from awnlib.data import DataError, data_folder, prepare_dataset
from awnlib.results.exhibits import PAPERS
from awnlib.settings import read_yaml
from awnlib.studies.widths.config import StudyConfig, parse_study
from benchmarks.gpu.settings import DIGITS, Settings

PAPER = PAPERS / "any_width_networks" / "setting.yaml"
STUDIES = "studies"  # the part that trains the files of `--studies`
TABLE = "any_width_networks.table2"
DENSE = "awn_dense_base"
METHODS = {
    "lenet_3c1l": ["awn", "awn_rs", "awn_all", "s_net", "us_net", "us_net_hard"],
    "mobilenet_v2": ["awn", DENSE, "s_net"],
}
TINY_METHODS = {"lenet_3c1l": ["awn", "us_net_hard"], "mobilenet_v2": [DENSE]}


def table2_study(model: str, settings: Settings) -> StudyConfig:
    """Return the study of one model on all data sets that the paper has it on, all else as in the paper.

    MobileNetV2's schedule is shortened to `settings.mobilenet_epochs` and stands in the study's name.
    """
    plain = read_yaml(PAPER)
    panels = [panel for panel in plain["exhibits"][TABLE]["panels"] if panel["model"] == model]
    plain["datasets"] = {name: _here(name, options, settings) for name, options in plain["datasets"].items()}
    methods = TINY_METHODS if settings.tiny else METHODS
    plain |= {
        "study": f"gpu_{model}",
        "description": "",
        "device": settings.device,
        "seeds": list(range(settings.seeds)),
        "exhibits": {TABLE: {"panels": panels, "methods": methods[model]}},
    }
    if model == "mobilenet_v2":
        _shorten(plain, settings.mobilenet_epochs)
    if settings.tiny:
        _shrink(plain, model)
    return parse_study(plain, origin=str(PAPER))


def given_studies(settings: Settings) -> list[StudyConfig]:
    """Return the studies that the command line names, on this device and with the data sets as they are here."""
    found = []
    for file in settings.studies:
        plain = read_yaml(Path(file))
        plain["datasets"] = {name: _here(name, options, settings) for name, options in plain["datasets"].items()}
        found.append(parse_study({**plain, "device": settings.device}, origin=file))
    return found


def _here(name: str, options: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the options of a data set as it is on this machine: its original files, or a folder of parquet files."""
    if list((_folder(settings) / name).glob("*.parquet")):
        return {**options, "source": "parquet", "path": name, "download": False}
    return {**options, "download": False}


def _folder(settings: Settings) -> Path:
    return settings.data or data_folder(None)


def _shorten(plain: dict[str, Any], num_epochs: int) -> None:
    """Give MobileNetV2 a schedule of so many epochs, and AWN with a dense base all settings of AWN."""
    plain["study"] += f"_{num_epochs}_epochs"
    plain["methods"] = {DENSE: {"base": "awn", "label": "AWN, dense base", "dense_base": True}}
    awn = [override for override in plain["overrides"] if override.get("method") == "awn"]
    plain["overrides"] += [{**override, "method": DENSE} for override in awn]
    plain["overrides"].append({"model": "mobilenet_v2", "train": {"num_epochs": num_epochs}})


def _shrink(plain: dict[str, Any], model: str) -> None:
    """Train a few steps on a few digits, and evaluate few widths."""
    plain["exhibits"][TABLE]["panels"] = [{"model": model, "dataset": DIGITS}]
    plain["datasets"][DIGITS] = {"source": "mnist5k", "train_size": 40, "test_size": 20}
    plain["models"] = {"mobilenet_v2": {"divisor": 8, "base_width_mult": 0.25}}
    plain["recalibration"] = {"num_images": 40}
    plain.setdefault("methods", {})["us_net_hard"] = {"recalibration": [2]}
    plain["overrides"].append({"dataset": DIGITS, "train": {"num_epochs": 1, "batch_size": 20}})


def asked_of(study: StudyConfig, settings: Settings) -> list[str]:
    """Return the data sets of Table 2 that the command line asks for."""
    asked = (DIGITS,) if settings.tiny else settings.datasets
    return [panel.dataset for panel in study.exhibits[TABLE].panels if panel.dataset in asked]


def prepared_images(
    study: StudyConfig, names: Iterable[str], settings: Settings, folder: Path
) -> tuple[dict[str, Path], list[str]]:
    """Return the prepared file of each data set that is there, in a folder, and a line for each other one."""
    files, problems = {}, []
    for name in names:
        try:
            files[name] = _prepared(name, study, settings, folder)
        except DataError as error:
            problems.append(f"{name} was skipped: {error}")
    return files, problems


def _prepared(name: str, study: StudyConfig, settings: Settings, folder: Path) -> Path:
    given, path = _folder(settings) / f"{name}.safetensors", folder / f"{name}.safetensors"
    if given.is_file():
        return given
    if not path.is_file():
        prepare_dataset(name, study.datasets[name], _folder(settings)).save(path)
    return path
