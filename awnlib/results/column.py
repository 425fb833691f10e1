"""Columns and tables as data: what they are made of, and the columns that many tables share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """One documented column; a required column holds no nulls."""

    name: str
    type: Literal["string", "int", "float", "bool", "bytes"]
    unit: str
    description: str
    nullable: bool = False


@dataclass(frozen=True)
class Table:
    """One documented table."""

    name: str
    description: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The column names in order."""
        return [column.name for column in self.columns]


def text(name: str, description: str, *, nullable: bool = False) -> Column:
    """Return a column of words."""
    return Column(name, "string", "", description, nullable)


def integer(name: str, description: str, *, unit: str = "", nullable: bool = False) -> Column:
    """Return a column of whole numbers."""
    return Column(name, "int", unit, description, nullable)


def number(name: str, description: str, *, unit: str = "", nullable: bool = False) -> Column:
    """Return a column of numbers."""
    return Column(name, "float", unit, description, nullable)


CELL = (
    text("dataset", "data set, as named in the study's configuration"),
    text("model", "network, as named in the study's configuration"),
    text("method", "row of settings that built, trained and evaluated the network"),
    text("label", "the method's name in tables and figures"),
)
VARIANT = text(
    "variant",
    "`as_trained`, or `recal<N>`: BN statistics recalibrated at N widths after training, `recal-swept`: at those of "
    "the sweep; `recal<N>-moving-512`: not as the study does; `slimmed<N>`: of the slimmed network",
)
METRIC = text("metric", "what was measured; of classification `top1_pct` (in %) and `loss_nats`")
TEST_SET = text("test_set", "test set of the task; of classification `test`")
STATISTICS = (
    VARIANT,
    integer(
        "recalibrated_widths",
        "widths with BN statistics computed after training; null: as trained, or failed before",
        nullable=True,
    ),
    text("averaging", "how they were computed: `exact` or `moving`; null: as trained", nullable=True),
    integer("recalibration_images", "training images they were computed from", unit="images", nullable=True),
)
SEED = integer("seed", "seed of the run")
WIDTH = number("width_mult", "width of operation", unit="fraction of full width")
STATE = text("state", "`ok`, `diverged`, `failed` or `skipped`")
ERROR = text("error", "what went wrong; null if nothing did", nullable=True)
PARAMS_STORED = "parameters and every stored set of BN statistics at full width"
