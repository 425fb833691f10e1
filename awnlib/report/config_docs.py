"""The configuration's documentation, made from its definition: `python -m awnlib.report.config_docs`."""

from __future__ import annotations

import json
import sys
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from awnlib.data.config import DatasetConfig
from awnlib.jobs.logs import speak_utf8
from awnlib.results.exhibits import ExhibitConfig, PanelConfig
from awnlib.settings import Settings
from awnlib.studies.transfer import config as study
from awnlib.studies.transfer.cells import UNIFORM, Configuration
from awnlib.studies.widths import config, evaluated
from awnlib.tasks import settings_class, task_names
from awnlib.training.methods import Method, Recalibration
from awnlib.training.run import ModelConfig, TrackConfig, TrainConfig
from awnlib.width_transfer.options import SETTINGS
from awnlib.width_transfer.projection import Projection

INTRODUCTION = """\
# Configuration

<!-- Made by `python -m awnlib.report.config_docs`; do not edit by hand. -->

A study is one YAML file: `config.yaml` is the demo, `configs/` holds others. A file given with `--configfile` stands in
place of `config.yaml`; `--config key=value` changes single keys of it. A study is checked before any job starts; an
unknown key or a value of the wrong type is refused with its path and what is allowed. Only what the images alone tell
is checked when they are read: their number, and their size where the file does not give one. Numbers such as 1e-3 need
a decimal point (`1.0e-3`), or YAML takes them for text.

Only what the tables and figures show is trained. A cell is (data set, model, method, seed). Methods are rows of
`awnlib/training/methods.yaml`; a study changes or adds rows under `methods:`:

```yaml
methods:
  us_net: {recalibration: [4, 10, 20, 40]}   # changes a row
  awn_rs_8: {base: awn_rs, label: AWN+RS(8), num_widths: 8}   # adds one
overrides:
  - {dataset: cifar10, train: {num_epochs: 100, weight_decay: 5.0e-4}}
```

A file with the key `transfer` is a width-transfer study: widths are searched in cheap training configurations and
carried over to a costly one. What its axes and comparisons share is searched and trained once.
"""
WORDS: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    NoneType: "null",
    Any: "any value",
    Settings: "mapping",
}
SECTIONS: tuple[tuple[str, type[Settings]], ...] = (
    ("The study", config.StudyConfig),
    ("`datasets.<name>`", DatasetConfig),
    ("`models.<name>`", ModelConfig),
    ("`methods.<name>`", Method),
    ("`methods.<name>.recalibration[]`", Recalibration),
    ("`train`", TrainConfig),
    *((f"`task_settings`: {name}", settings_class(name)) for name in task_names() if settings_class(name) != Settings),
    ("`overrides[]`", config.OverrideConfig),
    ("`recalibration`", evaluated.RecalibrationConfig),
    ("`slimming`", evaluated.SlimmingConfig),
    ("`sweep`", evaluated.SweepConfig),
    ("`sweep.width_mults`, in place of a list", evaluated.WidthGrid),
    ("`track`", TrackConfig),
    ("`tables.<name>`, `figures.<name>`", ExhibitConfig),
    ("`panels[]`", PanelConfig),
    ("A width-transfer study", study.TransferStudy),
    ("`transfer`", study.TransferConfig),
    ("`transfer.optimizers.<name>`", study.OptimizerConfig),
    ("`transfer.axes.<name>`", study.AxisConfig),
    ("`target`, `transfer.comparisons.<name>.configurations[]`", Configuration),
    ("`sources[]`", Projection),
    ("`transfer.comparisons.<name>`", study.ComparisonConfig),
    *((f"Settings of a search: {name}", kind) for name, kind in SETTINGS.items() if name != UNIFORM),
)


def describe_config() -> str:
    """Return the Markdown page with every key, its type, default and meaning."""
    return "\n".join([INTRODUCTION, *(_section(title, kind) for title, kind in SECTIONS)])


def _section(title: str, kind: type[Settings]) -> str:
    summary = (kind.__doc__ or "").splitlines()[0]
    rows = [f"## {title}\n", f"{summary}\n", "| key | type | default | meaning |", "|---|---|---|---|"]
    for name, field in kind.model_fields.items():
        default = "required" if field.is_required() else _text(field.get_default(call_default_factory=True))
        kind_name = _type_name(field.annotation)
        rows.append(f"| `{name}` | {kind_name} | {default} | {field.description or ''} |")
    return "\n".join(rows) + "\n"


def _text(value: object) -> str:
    if isinstance(value, Settings) and type(value) is not Settings:
        return "see below"
    if isinstance(value, Settings):
        return "`{}`"
    return f"`{json.dumps(value)}`"


def _type_name(annotation: Any) -> str:
    """Return a type as a reader of YAML thinks of it."""
    if get_origin(annotation) is Annotated:
        return _type_name(get_args(annotation)[0])
    if annotation in WORDS:
        return WORDS[annotation]
    kind, arguments = get_origin(annotation), get_args(annotation)
    if kind is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if kind in (Union, UnionType):
        return " or ".join(_type_name(argument) for argument in arguments)
    if kind is list:
        return f"list of {_type_name(arguments[0])}"
    if kind is dict:
        return f"mapping: {_type_name(arguments[0])} to {_type_name(arguments[1])}"
    return f"`{annotation.__name__}`"


if __name__ == "__main__":
    speak_utf8(sys.stdout)
    print(describe_config(), end="")
