"""Methods as data: what distinguishes AWN, S-Net, US-Net and the others is a row of settings.

The rows are in ``methods.yaml``; a study's config adds or changes rows without touching code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from awnlib.channels import ROUNDING, check_apart
from awnlib.settings import ConfigError, Settings, parse, read_yaml
from awnlib.tasks import Distance

FOR_READERS = {"label", "source", "look"}
"""Fields that say how a method is shown: no result depends on them."""
BUILT_IN = Path(__file__).with_name("methods.yaml")
ALWAYS = {"sandwich": (0, -1), "max_random": (0,), "min_random": (-1,), "random": ()}
"""For each rule that draws widths: which of the fixed widths, the largest first, are in every step."""


class Look(Settings):
    """How a method is drawn in figures."""

    color: str | None = Field(default=None, pattern="^#[0-9a-f]{6}$", description="such as #0072b2; null: a free one")
    line: Literal["solid", "dotted", "short_dashed", "dashed", "dash_dotted"] | None = Field(
        default=None, description="null: solid with a colour of its own, else dashed"
    )
    marker: str = Field(default="o", min_length=1, max_length=1, description="a marker of matplotlib")


class Recalibration(Settings):
    """BN statistics computed after training, otherwise than the study says."""

    widths: int | Literal["swept"] = Field(description="number of evenly spaced widths; `swept`: `sweep.width_mults`")
    averaging: Literal["exact", "moving"] | None = Field(default=None, description="null: as the study says")
    num_images: int | None = Field(default=None, ge=2, description="training images used; null: as the study says")


def _recalibration(entry: Any) -> Any:
    """Return a mapping as settings, whose problems would else be mixed with those of a number or a word."""
    if isinstance(entry, str) and entry != "swept":
        raise ValueError(f"must be a number of widths, 'swept' or a mapping, found '{entry}'")
    try:
        return parse(Recalibration, entry) if isinstance(entry, dict) else entry
    except ConfigError as error:
        raise ValueError("; ".join(error.problems)) from None


class Method(Settings):
    """One way to build, train and evaluate a network of selectable width."""

    label: str = Field(description="name in tables and figures")
    source: str = Field(default="", description="paper and section")
    look: Look = Field(
        default_factory=Look, description="how it is drawn; rows that start from this one have their own"
    )
    layer: Literal["triangular", "sliced"] = Field(
        description="weights below the staircase only, or all of the active block"
    )
    norm: Literal["shared", "switchable", "recalibrated"] = Field(
        description="BN statistics: one set; one per trained width; computed after training"
    )
    affine: Literal["private", "shared"] = Field(
        default="private",
        description="norm switchable: scale and shift, of each width alone or of all in common, as recalibrated norms "
        "have them",
    )
    widths: Literal["fixed", "sandwich", "min_random", "max_random", "random", "all"] = Field(
        default="fixed",
        description="widths of a step: a fixed list; largest, smallest and random ones; smallest and random ones; "
        "largest and random ones; random ones only; every one",
    )
    widths_per_layer: bool = Field(
        default=False,
        description="random widths: drawn for each group of layers that follow one width, in place of one for all; the "
        "largest and the smallest width are those of all",
    )
    num_widths: int | None = Field(
        default=None,
        ge=1,
        description="widths per step; null: as many as the study's `widths`. With all widths: the sum of their weights",
    )
    min_width_mult: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="smallest width of this method's networks, in place of the smallest of the study's `widths`; those "
        "below it are left out. null: the study's",
    )
    divisor: int | None = Field(
        default=None,
        ge=1,
        description="active channel counts of this method's networks are multiples of this; null: as the model says",
    )
    emphasis: Literal["uniform", "ends"] = Field(
        default="uniform",
        description="weights of the losses of all widths: equal, or as often as the sandwich rule draws them",
    )
    base_width_mult: float = Field(default=1.0, gt=0, description="channel counts relative to the plain network")
    width_vector: dict[str, float] = Field(
        default_factory=dict,
        description="proportions of the channels by dimension, as a width optimiser finds them; scaled so that the "
        "network costs at full width what it costs without. Empty: the plain network's proportions",
    )
    dense_base: bool = Field(default=False, description="triangular layers: a full block up to the smallest width")
    average_inputs: bool = Field(
        default=False,
        description="sliced layers: outputs of convolutions times full over active inputs. Before a norm with "
        "statistics for each width that changes no more than its eps does",
    )
    distillation: bool = Field(default=False, description="narrower widths learn from the largest one's output")
    distance: Distance | None = Field(
        default=None,
        description="distillation: between the outputs of a narrower width and the largest one; null: the task's loss, "
        "of classification the cross-entropy",
    )
    label_share: float = Field(
        default=0.0, ge=0, le=1, description="distillation: share of the label's loss in that of a narrower width"
    )
    label_share_decay: Literal["constant", "linear"] = Field(
        default="constant", description="whether the share falls to 0 over the training"
    )
    recalibration: list[Annotated[int | Literal["swept"] | Recalibration, BeforeValidator(_recalibration)]] = Field(
        default_factory=list,
        description="numbers of evenly spaced widths to recalibrate BN at, one evaluation each, or `swept`: those of "
        "`sweep.width_mults`, so that each evaluated width has statistics of its own; mappings where averaging or "
        "images are not the study's",
    )
    slimming: bool = Field(
        default=False,
        description="norm recalibrated: evaluate each recalibration of the network that greedy slimming leaves too, as "
        "the study's `slimming` says; it takes images that were held out (`train.held_out`)",
    )
    individual: bool = Field(default=False, description="a plain network per width instead of one for all")

    @property
    def recalibrations(self) -> list[Recalibration]:
        """The evaluations with BN statistics computed after training."""
        entries = self.recalibration
        return [entry if isinstance(entry, Recalibration) else Recalibration(widths=entry) for entry in entries]

    def own_widths(self, widths: Sequence[float]) -> list[float]:
        """Return the fixed widths of the study, largest first, down to this method's own smallest width."""
        if self.min_width_mult is None:
            return list(widths)
        between = [width for width in widths[1:-1] if width > self.min_width_mult + ROUNDING]
        return [widths[0], *between, self.min_width_mult]

    @property
    def draws_widths(self) -> bool:
        """Whether the widths of a step are drawn at random, rather than the same in every step."""
        return self.widths in ALWAYS

    @property
    def has_largest(self) -> bool:
        """Whether the largest width is in every step, as the first one: a teacher for the others."""
        return not self.draws_widths or 0 in ALWAYS[self.widths]

    @property
    def is_any_width(self) -> bool:
        """Whether the features of each width are the first features of every larger one (`awnlib.one_pass`)."""
        return self.layer == "triangular" and self.norm == "shared"

    @model_validator(mode="after")
    def _recalibrations_differ(self) -> Method:
        if (self.norm == "recalibrated") != bool(self.recalibration):
            raise ValueError("norm 'recalibrated' and a list of recalibration points go together")
        if any(one.widths != "swept" and one.widths < 2 for one in self.recalibrations):
            raise ValueError("recalibration needs at least 2 widths (the smallest and the largest)")
        if len({str(one) for one in self.recalibrations}) < len(self.recalibration):
            named = [one.model_dump() if isinstance(one, Recalibration) else one for one in self.recalibration]
            raise ValueError(f"recalibration names the same twice: {named}")
        return self

    @model_validator(mode="after")
    def _widths_suit_the_network(self) -> Method:
        if self.widths not in ("fixed", "random") and self.num_widths == 1:
            raise ValueError(f"widths '{self.widths}' needs num_widths of 2 or more")
        if self.widths == "all" and not self.is_any_width:
            raise ValueError("all widths in every step need triangular layers and a shared norm")
        if self.norm == "switchable" and self.draws_widths and self.widths != "sandwich":
            raise ValueError(
                "norm 'switchable' keeps statistics of fixed widths from the smallest to the largest, which widths "
                f"'{self.widths}' does not have"
            )
        if self.widths_per_layer and not (self.draws_widths and self.norm == "recalibrated" and self.layer == "sliced"):
            raise ValueError(
                "widths_per_layer needs random widths, sliced layers and norm 'recalibrated': no other fits whatever "
                "widths the layers have"
            )
        if self.emphasis != "uniform" and self.widths != "all":
            raise ValueError("emphasis is an option of widths 'all'")
        if self.min_width_mult is not None:
            check_apart([self.min_width_mult, 1.0])
        return self

    @model_validator(mode="after")
    def _objective_has_its_teacher(self) -> Method:
        if self.distillation and (not self.has_largest or self.num_widths == 1):
            raise ValueError("distillation needs the largest width and a narrower one in every step")
        if not self.distillation and (self.distance is not None or self.label_share > 0):
            raise ValueError("distance and label_share are options of distillation")
        if self.label_share_decay != "constant" and self.label_share == 0:
            raise ValueError("label_share_decay needs a label_share above 0")
        return self

    @model_validator(mode="after")
    def _options_suit_the_layers(self) -> Method:
        if any(multiplier <= 0 for multiplier in self.width_vector.values()):
            raise ValueError("the multipliers of a width_vector must be above 0")
        if self.dense_base and self.layer != "triangular":
            raise ValueError("dense_base is an option of triangular layers")
        if self.average_inputs and self.layer != "sliced":
            raise ValueError("average_inputs is an option of sliced layers")
        if self.slimming and not (self.norm == "recalibrated" and self.layer == "sliced"):
            raise ValueError("slimming is an option of sliced layers with norm 'recalibrated'")
        if self.affine != "private" and self.norm != "switchable":
            raise ValueError(f"affine is an option of norm 'switchable', found norm '{self.norm}'")
        return self

    @model_validator(mode="after")
    def _individual_networks_have_one_width(self) -> Method:
        if self.individual and (
            self.norm != "shared" or self.widths != "fixed" or self.num_widths or self.distillation
        ):
            raise ValueError("individual networks have one width: norm 'shared', no widths, no distillation")
        if self.individual and (self.min_width_mult is not None or self.average_inputs):
            raise ValueError("individual networks have one width: no min_width_mult, no average_inputs")
        return self


def load_methods(changes: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Method]:
    """Return the built-in methods with a study's changes and additions.

    Parameters
    ----------
    changes
        Rows by method name. A row of a built-in name changes that method's fields; a new name starts from the row
        named by ``base`` or from nothing.

    Raises
    ------
    ConfigError
        If a row names an unknown base, derives from itself, or does not validate.
    """
    rows = {name: dict(row) for name, row in _built_in().items()}
    for name, row in (changes or {}).items():
        rows[name] = {**rows.get(name, {}), **row}
    methods, problems = {}, []
    for name in rows:
        try:
            methods[name] = parse(Method, _resolve(name, rows), prefix=f"methods.{name}")
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return methods


def without_color(methods: Mapping[str, Method]) -> list[str]:
    """Return the methods that share out the colours that are left, in order."""
    return [name for name, method in methods.items() if method.look.color is None]


@cache
def _built_in() -> dict[str, dict[str, Any]]:
    """Return the rows of the file, read once: a job asks for its study's methods again for every cell."""
    return read_yaml(BUILT_IN)


def _resolve(name: str, rows: Mapping[str, Mapping[str, Any]], seen: tuple[str, ...] = ()) -> dict[str, Any]:
    if name in seen:
        raise ConfigError([f"methods.{name}.base: refers back to itself ({' -> '.join((*seen, name))})"])
    row = dict(rows[name])
    base = row.pop("base", None)
    if base is None:
        return row
    if not isinstance(base, str) or base not in rows:
        raise ConfigError([f"methods.{name}.base: unknown name '{base}' (allowed: {', '.join(sorted(rows))})"])
    inherited = _resolve(base, rows, (*seen, name))
    inherited.pop("look", None)
    return {**inherited, **row}
