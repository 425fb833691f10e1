"""The tables of studies of width transfer."""

from __future__ import annotations

from awnlib.results.column import CELL, ERROR, SEED, STATE, Column, Table, integer, number, text

_WIDTH_SEARCH = Table(
    "width_search",
    "One row per fold, step and dimension of a search for widths: what it went through.",
    (
        integer("fold", "which part of the training images was left out, from 0; 0 without folds"),
        integer("step", "AutoSlim: step of the slimming, 0 before it; others: epoch that ended, from 1"),
        text("channels", "dimension of the network, by name"),
        number("count", "its channels; DMCP: the expected number", unit="channels"),
        number("macs", "cost of the network for one image; DMCP: the expected one", unit="MACs"),
        number("error_pct", "held-out training images classified wrongly; null: not measured", unit="%", nullable=True),
        Column("accepted", "bool", "", "AutoSlim: whether the search went on with this network; others: always"),
    ),
)
_SOURCE = text("source", "configuration in which the widths were searched; the target's for uniform ones")
_TARGET = text("target", "configuration that the widths are for, such as `w1-d2-r64-s1`: width, depth, size, share")
_OPTIMIZER = text("optimizer", "row of `optimizers`, or `uniform`: the un-optimised network")
_EXTRAPOLATION = text("extrapolation", "`average_block` or `last_block`; `none` where no blocks had to be added")
_TRANSFER = Table(
    "transfer",
    "One row per axis, source, optimiser, extrapolation and seed of a width-transfer study: what the widths are worth.",
    (
        text("axis", "axis or comparison, as named in the study's configuration"),
        text("kind", "`width`, `depth`, `stacking`, `resolution`, `data`, `compound` or `comparison`"),
        *CELL[:2],
        _TARGET,
        _SOURCE,
        number("source_width_mult", "the source's width", unit="fraction of the plain network"),
        integer("source_depth_mult", "the source's blocks relative to the plain network"),
        integer("source_image_size", "the source's resolution; null: as stored", unit="pixels", nullable=True),
        number("source_data_share", "the source's share of the training images"),
        _OPTIMIZER,
        text("label", "the optimiser's name in figures"),
        _EXTRAPOLATION,
        Column("is_direct", "bool", "", "whether the widths were searched in the target itself"),
        SEED,
        STATE,
        ERROR,
        number("test_top1_pct", "test images classified correctly after retraining", unit="%", nullable=True),
        number("test_loss", "mean cross-entropy", unit="nats", nullable=True),
        number(
            "train_top1_pct",
            "training images classified correctly in the last epoch, augmented and in training mode",
            unit="%",
            nullable=True,
        ),
        integer("macs", "multiply-adds of the retrained network for one image", unit="MACs", nullable=True),
        integer("target_macs", "those of the un-optimised target", unit="MACs", nullable=True),
        number("train_macs", "spent on the retraining, three times those of all images", unit="MACs", nullable=True),
        number("search_macs", "spent on the search; null for uniform widths", unit="MACs", nullable=True),
        number(
            "found_macs_pct",
            "MACs of what the search found, before they were brought to its budget, relative to it (DMCP: of the "
            "expected counts; folds: the mean)",
            unit="%",
            nullable=True,
        ),
        number(
            "overhead_saved_pct",
            "share of the direct search's MACs that this search did not spend, same optimiser and seed",
            unit="%",
            nullable=True,
        ),
        number("overhead_factor", "the direct search's MACs over this search's", nullable=True),
        integer("params", "parameters of the retrained network", unit="parameters", nullable=True),
        number("search_time_s", "wall time of the search", unit="s", nullable=True),
        number("train_time_s", "wall time of the retraining", unit="s", nullable=True),
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
        text("label", "the optimiser's name in figures"),
        _EXTRAPOLATION,
        SEED,
        integer("position", "place of the dimension in the order of the layers, from 0"),
        text("channels", "dimension of the network, by name"),
        number("multiplier", "its channels relative to the un-optimised target"),
        integer("count", "its channels", unit="channels"),
    ),
)


def _vector(which: str) -> tuple[Column, ...]:
    """Return the columns that name one of two width vectors."""
    return (
        text(f"{which}_dataset", "data set of the search"),
        text(f"{which}_target", "configuration that the widths are for"),
        text(f"{which}_source", "configuration in which they were searched"),
        text(f"{which}_optimizer", "row of `optimizers`, or `uniform`"),
        text(f"{which}_extrapolation", "`average_block`, `last_block` or `none`"),
        integer(f"{which}_seed", "seed of the search; null for uniform widths", nullable=True),
    )


_SIMILARITY = Table(
    "similarity",
    "One row per pair of width vectors of equal dimensions.",
    (
        text("model", "network"),
        *_vector("one"),
        *_vector("other"),
        text(
            "relation",
            "`uniform`: with equal multipliers, the floor; `null`: with widths of the search's null control, the "
            "second floor; `seeds`: two seeds of one search, the ceiling; `vectors`: any other pair",
        ),
        number("cosine", "cosine of the angle between the two"),
    ),
)
_DATASETS = Table(
    "datasets",
    "One row per network, optimiser and ordered pair of data sets of a comparison (Width Transfer, appendix, table 1).",
    (
        text("comparison", "as named in the study's configuration"),
        text("model", "network"),
        text("configuration", "width, depth and share, the same for all data sets"),
        _OPTIMIZER,
        text("label", "the optimiser's name in figures"),
        text("dataset", "data set of the accuracies"),
        text("other_dataset", "data set to compare the widths with"),
        number("uniform_top1_pct", "un-optimised network, mean over seeds", unit="%", nullable=True),
        number("optimized_top1_pct", "widths optimised on this data set, mean over seeds", unit="%", nullable=True),
        integer("num_seeds", "seeds with optimised widths that were retrained"),
        number("cosine_datasets", "widths found on the two data sets, same seed, mean over seeds", nullable=True),
        number("cosine_uniform", "widths found on this data set and equal ones, mean over seeds", nullable=True),
    ),
)

TRANSFER_TABLES = (_WIDTH_SEARCH, _TRANSFER, _WIDTHS, _SIMILARITY, _DATASETS)
