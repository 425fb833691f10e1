"""What bicubic enlargement is worth on the test images of a study: `python -m awnlib.report.bicubic_scores study.yaml`.

A check of the images before anything is trained: others, or ones that are scaled in another way, have other numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tabulate import tabulate

from awnlib.data import ImagePairs, prepare_dataset
from awnlib.data.source_files import data_folder
from awnlib.settings import ConfigError
from awnlib.studies.widths.config import StudyConfig, load_study
from awnlib.tasks import needs_pairs
from awnlib.tasks.super_resolution import SuperResolution


def bicubic_scores(study: StudyConfig) -> Iterator[tuple[str, str, int, float, float]]:
    """Yield for each data and test set of a study how many images there are, and their mean PSNR in dB and SSIM.

    Raises
    ------
    ConfigError
        If the study is not of super-resolution.
    """
    if not needs_pairs(study.task):
        raise ConfigError([f"task: it must be super_resolution, found {study.task}"], study.study)
    for name, config in study.datasets.items():
        data = prepare_dataset(name, config, data_folder(study.data_folder))
        assert isinstance(data, ImagePairs)
        task = SuperResolution(study.task_settings, data)
        for test_set, pairs in data.tests.items():
            scores = [task.baseline(pair) for pair in pairs]
            psnr, ssim = (sum(score[key] for score in scores) / len(scores) for key in ("psnr_db", "ssim"))
            yield name, test_set, len(pairs), psnr, ssim


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the scores of the study that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m awnlib.report.bicubic_scores", description=__doc__)
    parser.add_argument("study", type=Path, help="its YAML file")
    study = load_study(parser.parse_args(arguments).study)
    header = ["data set", "test set", "images", "PSNR, dB", "SSIM"]
    print(tabulate(bicubic_scores(study), header, floatfmt=("", "", "", ".3f", ".4f")))


if __name__ == "__main__":
    main()
