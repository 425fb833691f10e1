"""Files are UTF-8 and results are the same whatever the locale: what an ASCII one would change or break."""

import ast
import os
import subprocess
import sys

import numpy as np
import yaml
from PIL import Image

from awnlib.data import load_dataset

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
UTF8 = {"LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
TEXT = "任意宽度的网络: Größe ± 2"
STUDY = """
import sys
from pathlib import Path
import pandas as pd
from awnlib.results.columns import TABLES
from awnlib.studies.widths.config import load_study
from awnlib.jobs.digest import code_digest
from awnlib.jobs.logs import log_to
from awnlib.jobs.records import Record, read_record, write_record
from awnlib.report.report import write_report
from awnlib.results.schemas import write_table_files

folder = Path(sys.argv[1])
log_to(folder / "a.log")
study = load_study(folder / "study.yaml")
tables = {name: pd.DataFrame(columns=TABLES[name].names) for name in ("evaluations", "runs", "bn_drift")}
write_report(folder / "report.html", study=study, tables=tables, figures={}, provenance={})
write_table_files(folder / "runs", "runs", tables["runs"], {"cpu": study.description}, study.description)
write_record(folder / "record.json", Record("train_model", "failed", study.description, {}))
print(read_record(folder / "record.json").error, code_digest("training.engine", "studies.transfer.compound"))
print(study.description, file=sys.stderr)
"""

STREAMED = """
import sys
from pathlib import Path
from awnlib.data.config import DatasetConfig
from awnlib.data import load_dataset, prepare_dataset

folder, name = Path(sys.argv[1]), sys.argv[2]
config = DatasetConfig(source="image_folder", path="pets", stream=True, image_size=8)
prepare_dataset("pets", config, folder).save(folder / name)
load_dataset(folder / name).file("train", 1).read_bytes()
"""


def run(environment, *arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        check=True,
    ).stdout


def written(folder, study_data, environment):
    """Return the bytes of the files that a study with a Chinese description writes in a locale."""
    folder.mkdir()
    study = yaml.safe_dump({**study_data, "description": TEXT}, allow_unicode=True)
    (folder / "study.yaml").write_text(study, encoding="utf-8")
    run(environment, "-c", STUDY, folder)
    return {name: (folder / name).read_bytes() for name in ("a.log", "report.html", "record.json", "runs.md")}


def test_a_study_writes_the_same_files_and_digests_in_every_locale(study_data, tmp_path):
    files = written(tmp_path / "ascii", study_data, ASCII)
    assert files == written(tmp_path / "utf8", study_data, UTF8)
    assert TEXT in files["report.html"].decode()
    assert files["a.log"].decode().count(TEXT) == 2


def test_a_streamed_data_set_has_the_same_names_in_every_locale(tmp_path):
    for split in ("train", "test"):
        for name in ("große Katze", "kočka"):
            (tmp_path / "pets" / split / name).mkdir(parents=True)
            pixels = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
            Image.fromarray(pixels).save(tmp_path / "pets" / split / name / "ä.png")
    for environment, name in ((ASCII, "ascii"), (UTF8, "utf8")):
        run(environment, "-c", STREAMED, tmp_path, name)
    assert (tmp_path / "ascii").read_bytes() == (tmp_path / "utf8").read_bytes()
    assert load_dataset(tmp_path / "ascii").classes == ("große Katze", "kočka")


def test_what_a_command_prints_is_utf8():
    code = f"import sys; from awnlib.jobs.logs import speak_utf8; speak_utf8(sys.stdout); print({TEXT!a})"
    assert run(ASCII, "-c", code).decode() == f"{TEXT}\n"


def names_no_encoding(call):
    """Whether a call reads or writes text in the encoding of the locale."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    if "encoding" in given:
        return False
    owner = getattr(getattr(call.func, "value", None), "id", "")
    opens_text = name == "open" and owner not in ("Image", "gzip", "os")
    modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    if opens_text and any(isinstance(mode, str) and "b" in mode for mode in modes):
        return False
    return opens_text or name in ("read_text", "write_text") or bool({"text", "universal_newlines"} & given.keys())


def test_no_text_is_read_or_written_in_the_encoding_of_the_locale(repository):
    places = [repository / folder for folder in ("awnlib", "benchmarks", "workflow/scripts", "plugins")]
    calls = [
        (path.relative_to(repository).as_posix(), node)
        for place in places
        for path in place.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    assert len(calls) > 1000
    assert [f"{path}:{call.lineno}" for path, call in calls if names_no_encoding(call)] == []
