"""Bicubic enlargement of a study's test images, from their files."""

import pytest

from awnlib.data.bicubic import to_image
from awnlib.report.bicubic_scores import bicubic_scores, main
from awnlib.settings import ConfigError
from awnlib.studies.widths.config import parse_study
from awnlib.tasks import create_task, task_settings
from tests.conftest import STUDY, six_photographs


def test_the_command_prints_what_a_study_calls_the_baseline(repository, tmp_path, monkeypatch, capsys):
    data = six_photographs()
    for split, pairs in (("train", data.train), ("test", data.tests["some"])):
        (tmp_path / "photographs" / split).mkdir(parents=True)
        for pair in pairs:
            to_image(pair.high).save(tmp_path / "photographs" / split / f"{pair.name}.png")
    monkeypatch.setenv("AWN_DATA", str(tmp_path))
    main([str(repository / "configs/super_resolution_ci.yaml")])
    task = create_task("super_resolution", task_settings("super_resolution", {}), data)
    scores = [task.baseline(pair)["psnr_db"] for pair in data.tests["some"]]
    name, test_set, count, psnr, _ = capsys.readouterr().out.splitlines()[-1].split()
    assert (name, test_set, count) == ("photographs", "some", "2")
    assert float(psnr) == pytest.approx(sum(scores) / 2, abs=6e-4)


def test_other_studies_have_no_such_images():
    with pytest.raises(ConfigError, match="task: it must be super_resolution, found classification"):
        list(bicubic_scores(parse_study(STUDY)))
