"""The tables and their columns: name, type, unit and meaning, as data.

``awnlib.results.schemas`` writes and reads them; ``describe`` gives them as Markdown, which is what
``docs/results.md`` shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

COLLECTED = ("runs", "evaluations", "sweep", "history", "bn_statistics", "bn_drift")  # tables of a whole study
IMAGES = "images"  # the one more of a task that measures single images


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


def _text(name: str, description: str, *, nullable: bool = False) -> Column:
    return Column(name, "string", "", description, nullable)


def _int(name: str, description: str, *, unit: str = "", nullable: bool = False) -> Column:
    return Column(name, "int", unit, description, nullable)


def _float(name: str, description: str, *, unit: str = "", nullable: bool = False) -> Column:
    return Column(name, "float", unit, description, nullable)


CELL = (
    _text("dataset", "data set, as named in the study's configuration"),
    _text("model", "network, as named in the study's configuration"),
    _text("method", "row of settings that built, trained and evaluated the network"),
    _text("label", "the method's name in tables and figures"),
)
VARIANT = _text(
    "variant",
    "`as_trained`, or `recal<N>`: BN statistics recalibrated at N widths after training, `recal-swept`: at those of "
    "the sweep; `recal<N>-moving-512`: not as the study does; `slimmed<N>`: of the slimmed network",
)
METRIC = _text("metric", "what was measured; of classification `top1_pct` (in %) and `loss_nats`")
TEST_SET = _text("test_set", "test set of the task; of classification `test`")
STATISTICS = (
    VARIANT,
    _int(
        "recalibrated_widths",
        "widths with BN statistics computed after training; null: as trained, or failed before",
        nullable=True,
    ),
    _text("averaging", "how they were computed: `exact` or `moving`; null: as trained", nullable=True),
    _int("recalibration_images", "training images they were computed from", unit="images", nullable=True),
)
SEED = _int("seed", "seed of the run")
WIDTH = _float("width_mult", "width of operation", unit="fraction of full width")
STATE = _text("state", "`ok`, `diverged`, `failed` or `skipped`")
ERROR = _text("error", "what went wrong; null if nothing did", nullable=True)
_PARAMS_STORED = "parameters and every stored set of BN statistics at full width"

_SWEEP = Table(
    "sweep",
    "One row per evaluation, width, test set and metric: results and cost over the dense width grid.",
    (
        *CELL,
        *STATISTICS,
        SEED,
        WIDTH,
        _float(
            "switch_width_mult",
            "width whose BN statistics were used; null when one set serves all widths or two were interpolated",
            unit="fraction of full width",
            nullable=True,
        ),
        Column("is_trained", "bool", "", "whether the width is one of the fixed trained widths"),
        TEST_SET,
        METRIC,
        _float("score", "its mean over the test set; null if not finite", nullable=True),
        _int("num_images", "test images; null if the task has none", nullable=True),
        _int("macs", "multiply-adds for one image; those with structural zeros are not counted", unit="MACs"),
        _int("macs_dense", "multiply-adds for one image, structural zeros counted", unit="MACs"),
        _int("params", "parameters that are active at this width", unit="parameters"),
    ),
)
_IMAGES = Table(
    IMAGES,
    "One row per evaluation, fixed width, test image and metric: what a network makes of single images.",
    (
        *CELL,
        VARIANT,
        SEED,
        WIDTH,
        TEST_SET,
        _text("image", "name of the image"),
        METRIC,
        _float("score", "of this image; null if not finite", nullable=True),
        _float("baseline", "of its bicubic enlargement; null if not finite", nullable=True),
        Column("picture", "bytes", "PNG", "a part of what the network gave; null: none was asked for", nullable=True),
        Column("picture_before", "bytes", "PNG", "the same part of the bicubic enlargement", nullable=True),
        Column("picture_target", "bytes", "PNG", "the same part of the image", nullable=True),
    ),
)
_HISTORY = Table(
    "history",
    "One row per run, epoch, trained width and metric: the course of training.",
    (
        *CELL,
        SEED,
        _int("epoch", "epoch that ended, from 1", unit="epochs"),
        _int("step", "optimisation steps done by then", unit="steps"),
        _float("lr", "learning rate of the epoch's last step"),
        _float(
            "width_mult",
            "trained width; null: the random widths of each step taken together",
            unit="fraction of full width",
            nullable=True,
        ),
        METRIC,
        _float(
            "score",
            "its mean over the epoch, in training mode, or what a task measures at its end; null if not finite",
            nullable=True,
        ),
    ),
)
_BN_STATISTICS = Table(
    "bn_statistics",
    "One row per run, recorded step, width and channel: what a norm layer sees and what it stores (figure 2).",
    (
        *CELL,
        SEED,
        _text("layer", "name of the norm layer"),
        _int("step", "optimisation steps done", unit="steps"),
        WIDTH,
        _int("channel", "feature of the layer, from 0"),
        _float("batch_mean", "mean of the channel in the batch at this width", nullable=True),
        _float("batch_var", "variance of the channel in the batch at this width", nullable=True),
        _float("running_mean", "mean that the layer stores for use at this width", nullable=True),
        _float("running_var", "variance that the layer stores for use at this width", nullable=True),
    ),
)
_BN_DRIFT = Table(
    "bn_drift",
    "One row per run, norm layer and width: how far the statistics of the widths lie apart.",
    (
        *CELL,
        SEED,
        _text("layer", "name of the norm layer"),
        _float(
            "width_mult",
            "width that is compared; null: the worst over widths, the one number of the layer",
            unit="fraction of full width",
            nullable=True,
        ),
        _float(
            "drift",
            "root-mean-square over channels of the Wasserstein distance between the statistics at this width and "
            "those pooled over all widths; 0: the widths agree",
            unit="pooled standard deviations",
            nullable=True,
        ),
    ),
)
_GRADIENTS = Table(
    "gradients",
    "One row per run, chosen step and width, and one per pair of widths: the gradients of the widths' losses on the "
    "batch of that step. Only of runs that compare them (`track.gradients`).",
    (
        *CELL,
        SEED,
        _int("step", "optimisation steps done", unit="steps"),
        _float("width_mult", "width, of a pair the larger one", unit="fraction of full width"),
        _float(
            "other_width_mult",
            "the smaller one of a pair, whose gradients are compared over the parameters that both use; null: the "
            "width alone, over all that it uses",
            unit="fraction of full width",
            nullable=True,
        ),
        _float("norm", "norm of the gradient of the width's loss, without the weight that a method may give the loss"),
        _float("other_norm", "norm of that of the other width's; null: no pair", nullable=True),
        _float("cosine", "cosine of the angle between the two; null: no pair, or a norm is zero", nullable=True),
    ),
)
_RESIDUALS = Table(
    "residuals",
    "One row per run, layer and width: how far features that sum up a width's inputs are from those that sum up all "
    "(US-Nets, inequality 3). Of features that the smallest width keeps; their inputs are those at full width.",
    (
        *CELL,
        SEED,
        _text("layer", "name of the layer; those that sum up the same inputs at every width are left out"),
        WIDTH,
        _int("num_inputs", "input channels that are summed up", unit="channels"),
        _float("residual", "mean distance from the feature that sums up all inputs"),
        _float("relative", "the same over the mean magnitude of those features; null if it is zero", nullable=True),
        _float(
            "bounded_pct",
            "features no further away than at the smallest width; null at the smallest",
            unit="%",
            nullable=True,
        ),
        _float(
            "shrinking_pct",
            "features no further away than at the next smaller width; null at the smallest",
            unit="%",
            nullable=True,
        ),
    ),
)
_SLIMMING = Table(
    "slimming",
    "One row per slimmed run, network that slimming went through and dimension: its width vector.",
    (
        *CELL,
        SEED,
        _int("step", "steps of the slimming before; 0: the largest network"),
        _float(
            "width_mult",
            "smallest width at which the slimmed network is this one; null: wherever it fits, a larger one does",
            unit="fraction of full width",
            nullable=True,
        ),
        _int("macs", "multiply-adds for one image", unit="MACs"),
        _float("error_pct", "held-out training images classified wrongly, with BN statistics of the batch", unit="%"),
        _int("position", "place of the dimension in the order of the layers, from 0"),
        _text("channels", "dimension of the network, by name"),
        _float("multiplier", "its width", unit="fraction of full width"),
        _int("count", "its channels", unit="channels"),
    ),
)
_RUNS = Table(
    "runs",
    "One row per run (one training).",
    (
        *CELL,
        SEED,
        _float(
            "individual_width",
            "the one width of an individually trained network, else null",
            unit="fraction of full width",
            nullable=True,
        ),
        STATE,
        ERROR,
        _int("num_epochs", "epochs asked for", unit="epochs"),
        _int("num_steps", "optimisation steps done", unit="steps", nullable=True),
        _int("batch_size", "images per step", unit="images"),
        _float("lr", "initial learning rate"),
        _float("weight_decay", "weight decay"),
        _int("num_widths", "widths trained per step", nullable=True),
        _float("train_time_s", "wall time of the training, interruptions not counted", unit="s", nullable=True),
        _int("params_stored", _PARAMS_STORED, unit="numbers", nullable=True),
        _int(
            "params_full",
            "parameters and one set of BN statistics at full width: the size with ordinary BN",
            unit="numbers",
            nullable=True,
        ),
        _text("device", "processor of the training", nullable=True),
        _int("threads", "CPU threads of the training", nullable=True),
        _int("resumed", "how often the run was continued after an interruption", nullable=True),
    ),
)
_EVALUATIONS = Table(
    "evaluations",
    "One row per evaluation (one dense width sweep of a run), test set and metric that has one number for all widths.",
    (
        *CELL,
        *STATISTICS,
        SEED,
        STATE,
        ERROR,
        TEST_SET,
        METRIC,
        _float(
            "score",
            "the metric's one number: for `top1_pct` the area under the width-accuracy curve divided by its range; "
            "null for a single width, or if nothing was measured",
            nullable=True,
        ),
        _float("min_width_mult", "smallest width of the grid", unit="fraction of full width", nullable=True),
        _float("max_width_mult", "largest width of the grid", unit="fraction of full width", nullable=True),
        _int("num_widths", "points of the width grid", nullable=True),
        _int("num_switches", "sets of BN statistics stored", nullable=True),
        _int("params_stored", f'{_PARAMS_STORED}: the paper\'s "model size"', unit="numbers", nullable=True),
        _float("sweep_time_s", "wall time of the sweep", unit="s", nullable=True),
        _float("recalibration_time_s", "wall time of the recalibration; null: none", unit="s", nullable=True),
    ),
)
_EXHIBIT = Table(
    "exhibit",
    "A table of a paper, one row per cell: our mean over the seeds beside the paper's number.",
    (
        _text("model", "network"),
        _text("dataset", "data set"),
        _text("paper_dataset", "data set of the paper that the cell is compared with"),
        *CELL[2:],
        VARIANT,
        _text("metric", "what `score` is, with its unit"),
        _text("test_set", "test images, or `train`: those of training, in the last epoch"),
        _float(
            "width_mult", "width of operation; null: summed up over all", unit="fraction of full width", nullable=True
        ),
        _int("macs", "multiply-adds for one image at this width; null: not shown", unit="MACs", nullable=True),
        _float("score", "mean over seeds; null if no seed succeeded", unit="the metric's", nullable=True),
        _float("std", "standard deviation over seeds (n - 1); null below two", unit="the metric's", nullable=True),
        _int("num_seeds", "seeds in the mean"),
        _float("paper_score", "the paper's number; null if it has none", unit="the metric's", nullable=True),
        _float("difference", "ours minus the paper's", unit="the metric's", nullable=True),
        _int("missing", "seeds without a result"),
    ),
)
_WIDTH_SEARCH = Table(
    "width_search",
    "One row per fold, step and dimension of a search for widths: what it went through.",
    (
        _int("fold", "which part of the training images was left out, from 0; 0 without folds"),
        _int("step", "AutoSlim: step of the slimming, 0 before it; others: epoch that ended, from 1"),
        _text("channels", "dimension of the network, by name"),
        _float("count", "its channels; DMCP: the expected number", unit="channels"),
        _float("macs", "cost of the network for one image; DMCP: the expected one", unit="MACs"),
        _float("error_pct", "held-out training images classified wrongly; null: not measured", unit="%", nullable=True),
        Column("accepted", "bool", "", "AutoSlim: whether the search went on with this network; others: always"),
    ),
)
_SOURCE = _text("source", "configuration in which the widths were searched; the target's for uniform ones")
_TARGET = _text("target", "configuration that the widths are for, such as `w1-d2-r64-s1`: width, depth, size, share")
_OPTIMIZER = _text("optimizer", "row of `optimizers`, or `uniform`: the un-optimised network")
_EXTRAPOLATION = _text("extrapolation", "`average_block` or `last_block`; `none` where no blocks had to be added")
_TRANSFER = Table(
    "transfer",
    "One row per axis, source, optimiser, extrapolation and seed of a width-transfer study: what the widths are worth.",
    (
        _text("axis", "axis or comparison, as named in the study's configuration"),
        _text("kind", "`width`, `depth`, `stacking`, `resolution`, `data`, `compound` or `comparison`"),
        *CELL[:2],
        _TARGET,
        _SOURCE,
        _float("source_width_mult", "the source's width", unit="fraction of the plain network"),
        _int("source_depth_mult", "the source's blocks relative to the plain network"),
        _int("source_image_size", "the source's resolution; null: as stored", unit="pixels", nullable=True),
        _float("source_data_share", "the source's share of the training images"),
        _OPTIMIZER,
        _text("label", "the optimiser's name in figures"),
        _EXTRAPOLATION,
        Column("is_direct", "bool", "", "whether the widths were searched in the target itself"),
        SEED,
        STATE,
        ERROR,
        _float("test_top1_pct", "test images classified correctly after retraining", unit="%", nullable=True),
        _float("test_loss", "mean cross-entropy", unit="nats", nullable=True),
        _float(
            "train_top1_pct",
            "training images classified correctly in the last epoch, augmented and in training mode",
            unit="%",
            nullable=True,
        ),
        _int("macs", "multiply-adds of the retrained network for one image", unit="MACs", nullable=True),
        _int("target_macs", "those of the un-optimised target", unit="MACs", nullable=True),
        _float("train_macs", "spent on the retraining, three times those of all images", unit="MACs", nullable=True),
        _float("search_macs", "spent on the search; null for uniform widths", unit="MACs", nullable=True),
        _float(
            "found_macs_pct",
            "MACs of what the search found, before they were brought to its budget, relative to it (DMCP: of the "
            "expected counts; folds: the mean)",
            unit="%",
            nullable=True,
        ),
        _float(
            "overhead_saved_pct",
            "share of the direct search's MACs that this search did not spend, same optimiser and seed",
            unit="%",
            nullable=True,
        ),
        _float("overhead_factor", "the direct search's MACs over this search's", nullable=True),
        _int("params", "parameters of the retrained network", unit="parameters", nullable=True),
        _float("search_time_s", "wall time of the search", unit="s", nullable=True),
        _float("train_time_s", "wall time of the retraining", unit="s", nullable=True),
    ),
)
_WIDTHS = Table(
    "widths",
    "One row per retrained network and dimension: the widths after extrapolation.",
    (
        *CELL[:2],
        _TARGET,
        _SOURCE,
        _OPTIMIZER,
        _text("label", "the optimiser's name in figures"),
        _EXTRAPOLATION,
        SEED,
        _int("position", "place of the dimension in the order of the layers, from 0"),
        _text("channels", "dimension of the network, by name"),
        _float("multiplier", "its channels relative to the un-optimised target"),
        _int("count", "its channels", unit="channels"),
    ),
)


def _vector(which: str) -> tuple[Column, ...]:
    """Return the columns that name one of two width vectors."""
    return (
        _text(f"{which}_dataset", "data set of the search"),
        _text(f"{which}_target", "configuration that the widths are for"),
        _text(f"{which}_source", "configuration in which they were searched"),
        _text(f"{which}_optimizer", "row of `optimizers`, or `uniform`"),
        _text(f"{which}_extrapolation", "`average_block`, `last_block` or `none`"),
        _int(f"{which}_seed", "seed of the search; null for uniform widths", nullable=True),
    )


_SIMILARITY = Table(
    "similarity",
    "One row per pair of width vectors of equal dimensions.",
    (
        _text("model", "network"),
        *_vector("one"),
        *_vector("other"),
        _text(
            "relation",
            "`uniform`: with equal multipliers, the floor; `null`: with widths of the search's null control, the "
            "second floor; `seeds`: two seeds of one search, the ceiling; `vectors`: any other pair",
        ),
        _float("cosine", "cosine of the angle between the two"),
    ),
)
_DATASETS = Table(
    "datasets",
    "One row per network, optimiser and ordered pair of data sets of a comparison (Width Transfer, appendix, table 1).",
    (
        _text("comparison", "as named in the study's configuration"),
        _text("model", "network"),
        _text("configuration", "width, depth and share, the same for all data sets"),
        _OPTIMIZER,
        _text("label", "the optimiser's name in figures"),
        _text("dataset", "data set of the accuracies"),
        _text("other_dataset", "data set to compare the widths with"),
        _float("uniform_top1_pct", "un-optimised network, mean over seeds", unit="%", nullable=True),
        _float("optimized_top1_pct", "widths optimised on this data set, mean over seeds", unit="%", nullable=True),
        _int("num_seeds", "seeds with optimised widths that were retrained"),
        _float("cosine_datasets", "widths found on the two data sets, same seed, mean over seeds", nullable=True),
        _float("cosine_uniform", "widths found on this data set and equal ones, mean over seeds", nullable=True),
    ),
)
TABLES = {
    table.name: table
    for table in (
        *(
            _SWEEP,
            _IMAGES,
            _HISTORY,
            _BN_STATISTICS,
            _BN_DRIFT,
            _GRADIENTS,
            _RESIDUALS,
            _SLIMMING,
            _RUNS,
            _EVALUATIONS,
            _EXHIBIT,
        ),
        *(_WIDTH_SEARCH, _TRANSFER, _WIDTHS, _SIMILARITY, _DATASETS),
    )
}


def describe() -> str:
    """Return the column tables as Markdown, one section per table."""
    return "\n".join(_describe(table) for table in TABLES.values())


def _describe(table: Table) -> str:
    lines = [f"## {table.name}", "", table.description, "", "| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in table.columns:
        kind = column.type + (" or null" if column.nullable else "")
        lines.append(f"| `{column.name}` | {kind} | {column.unit} | {column.description} |")
    return "\n".join([*lines, ""])
