"""The tables and their columns: name, type, unit and meaning, as data.

``awnlib.results.schemas`` writes and reads them; ``describe`` gives them as Markdown, which is what
``docs/results.md`` shows.
"""

from __future__ import annotations

from awnlib.results.column import (
    CELL,
    ERROR,
    METRIC,
    PARAMS_STORED,
    SEED,
    STATE,
    STATISTICS,
    TEST_SET,
    VARIANT,
    WIDTH,
    Column,
    Table,
    integer,
    number,
    text,
)
from awnlib.results.transfer_columns import TRANSFER_TABLES

COLLECTED = ("runs", "evaluations", "sweep", "history", "bn_statistics", "bn_drift")  # tables of a whole study
IMAGES = "images"  # the one more of a task that measures single images

_SWEEP = Table(
    "sweep",
    "One row per evaluation, width, test set and metric: results and cost over the dense width grid.",
    (
        *CELL,
        *STATISTICS,
        SEED,
        WIDTH,
        number(
            "switch_width_mult",
            "width whose BN statistics were used; null when one set serves all widths or two were interpolated",
            unit="fraction of full width",
            nullable=True,
        ),
        Column("is_trained", "bool", "", "whether the width is one of the fixed trained widths"),
        TEST_SET,
        METRIC,
        number("score", "its mean over the test set; null if not finite", nullable=True),
        integer("num_images", "test images; null if the task has none", nullable=True),
        integer("macs", "multiply-adds for one image; those with structural zeros are not counted", unit="MACs"),
        integer("macs_dense", "multiply-adds for one image, structural zeros counted", unit="MACs"),
        integer("params", "parameters that are active at this width", unit="parameters"),
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
        text("image", "name of the image"),
        METRIC,
        number("score", "of this image; null if not finite", nullable=True),
        number("baseline", "of its bicubic enlargement; null if not finite", nullable=True),
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
        integer("epoch", "epoch that ended, from 1", unit="epochs"),
        integer("step", "optimisation steps done by then", unit="steps"),
        number("lr", "learning rate of the epoch's last step"),
        number(
            "width_mult",
            "trained width; null: the random widths of each step taken together",
            unit="fraction of full width",
            nullable=True,
        ),
        METRIC,
        number(
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
        text("layer", "name of the norm layer"),
        integer("step", "optimisation steps done", unit="steps"),
        WIDTH,
        integer("channel", "feature of the layer, from 0"),
        number("batch_mean", "mean of the channel in the batch at this width", nullable=True),
        number("batch_var", "variance of the channel in the batch at this width", nullable=True),
        number("running_mean", "mean that the layer stores for use at this width", nullable=True),
        number("running_var", "variance that the layer stores for use at this width", nullable=True),
    ),
)
_BN_DRIFT = Table(
    "bn_drift",
    "One row per run, norm layer and width: how far the statistics of the widths lie apart.",
    (
        *CELL,
        SEED,
        text("layer", "name of the norm layer"),
        number(
            "width_mult",
            "width that is compared; null: the worst over widths, the one number of the layer",
            unit="fraction of full width",
            nullable=True,
        ),
        number(
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
        integer("step", "optimisation steps done", unit="steps"),
        number("width_mult", "width, of a pair the larger one", unit="fraction of full width"),
        number(
            "other_width_mult",
            "the smaller one of a pair, whose gradients are compared over the parameters that both use; null: the "
            "width alone, over all that it uses",
            unit="fraction of full width",
            nullable=True,
        ),
        number("norm", "norm of the gradient of the width's loss, without the weight that a method may give the loss"),
        number("other_norm", "norm of that of the other width's; null: no pair", nullable=True),
        number("cosine", "cosine of the angle between the two; null: no pair, or a norm is zero", nullable=True),
    ),
)
_RESIDUALS = Table(
    "residuals",
    "One row per run, layer and width: how far features that sum up a width's inputs are from those that sum up all "
    "(US-Nets, inequality 3). Of features that the smallest width keeps; their inputs are those at full width.",
    (
        *CELL,
        SEED,
        text("layer", "name of the layer; those that sum up the same inputs at every width are left out"),
        WIDTH,
        integer("num_inputs", "input channels that are summed up", unit="channels"),
        number("residual", "mean distance from the feature that sums up all inputs"),
        number("relative", "the same over the mean magnitude of those features; null if it is zero", nullable=True),
        number(
            "bounded_pct",
            "features no further away than at the smallest width; null at the smallest",
            unit="%",
            nullable=True,
        ),
        number(
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
        integer("step", "steps of the slimming before; 0: the largest network"),
        number(
            "width_mult",
            "smallest width at which the slimmed network is this one; null: wherever it fits, a larger one does",
            unit="fraction of full width",
            nullable=True,
        ),
        integer("macs", "multiply-adds for one image", unit="MACs"),
        number("error_pct", "held-out training images classified wrongly, with BN statistics of the batch", unit="%"),
        integer("position", "place of the dimension in the order of the layers, from 0"),
        text("channels", "dimension of the network, by name"),
        number("multiplier", "its width", unit="fraction of full width"),
        integer("count", "its channels", unit="channels"),
    ),
)
_RUNS = Table(
    "runs",
    "One row per run (one training).",
    (
        *CELL,
        SEED,
        number(
            "individual_width",
            "the one width of an individually trained network, else null",
            unit="fraction of full width",
            nullable=True,
        ),
        STATE,
        ERROR,
        integer("num_epochs", "epochs asked for", unit="epochs"),
        integer("num_steps", "optimisation steps done", unit="steps", nullable=True),
        integer("batch_size", "images per step", unit="images"),
        number("lr", "initial learning rate"),
        number("weight_decay", "weight decay"),
        integer("num_widths", "widths trained per step", nullable=True),
        number("train_time_s", "wall time of the training, interruptions not counted", unit="s", nullable=True),
        integer("params_stored", PARAMS_STORED, unit="numbers", nullable=True),
        integer(
            "params_full",
            "parameters and one set of BN statistics at full width: the size with ordinary BN",
            unit="numbers",
            nullable=True,
        ),
        text("device", "processor of the training", nullable=True),
        integer("threads", "CPU threads of the training", nullable=True),
        integer("resumed", "how often the run was continued after an interruption", nullable=True),
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
        number(
            "score",
            "the metric's one number: for `top1_pct` the area under the width-accuracy curve divided by its range; "
            "null for a single width, or if nothing was measured",
            nullable=True,
        ),
        number("min_width_mult", "smallest width of the grid", unit="fraction of full width", nullable=True),
        number("max_width_mult", "largest width of the grid", unit="fraction of full width", nullable=True),
        integer("num_widths", "points of the width grid", nullable=True),
        integer("num_switches", "sets of BN statistics stored", nullable=True),
        integer("params_stored", f'{PARAMS_STORED}: the paper\'s "model size"', unit="numbers", nullable=True),
        number("sweep_time_s", "wall time of the sweep", unit="s", nullable=True),
        number("recalibration_time_s", "wall time of the recalibration; null: none", unit="s", nullable=True),
    ),
)
_EXHIBIT = Table(
    "exhibit",
    "A table of a paper, one row per cell: our mean over the seeds beside the paper's number.",
    (
        text("model", "network"),
        text("dataset", "data set"),
        text("paper_dataset", "data set of the paper that the cell is compared with"),
        *CELL[2:],
        VARIANT,
        text("metric", "what `score` is, with its unit"),
        text("test_set", "test images, or `train`: those of training, in the last epoch"),
        number(
            "width_mult", "width of operation; null: summed up over all", unit="fraction of full width", nullable=True
        ),
        integer("macs", "multiply-adds for one image at this width; null: not shown", unit="MACs", nullable=True),
        number("score", "mean over seeds; null if no seed succeeded", unit="the metric's", nullable=True),
        number("std", "standard deviation over seeds (n - 1); null below two", unit="the metric's", nullable=True),
        integer("num_seeds", "seeds in the mean"),
        number("paper_score", "the paper's number; null if it has none", unit="the metric's", nullable=True),
        number("difference", "ours minus the paper's", unit="the metric's", nullable=True),
        integer("missing", "seeds without a result"),
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
        *TRANSFER_TABLES,
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
