"""What the paper claims of the width vectors themselves: which layers grow, and how alike vectors are.

Cosines and multipliers are averaged for each seed first: what one seed gives is one observation, however many pairs of
its sources there are. One seed decides nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from awnlib.papers.width_transfer.panels import title_of
from awnlib.results.findings import Finding
from awnlib.results.means import above, exact, mean_of
from awnlib.results.numbers import mean_with_spread
from awnlib.results.titles import display_name
from awnlib.studies.transfer.cells import configuration_title
from awnlib.studies.transfer.config import TransferStudy
from awnlib.studies.transfer.layout import between_sources

PLACE = ["model", "one_dataset", "one_target"]
LAST_LAYERS = (
    "(paper, all optimisers together: 1300 in place of 512 in ResNet18, 3785 of 1280 in MobileNetV2; at the MACs of "
    "the target, which is 1.732 times as wide, these are 1300 of 887, 1.47 times, and 3785 of 2217, 1.71 times)"
)


def vector_findings(
    study: TransferStudy, tables: Mapping[str, pd.DataFrame], labels: Mapping[str, str]
) -> list[tuple[str, Finding | None]]:
    """Check the claims about vectors; `labels` are the names of the paper's optimisers by row."""
    found: list[tuple[str, Finding | None]] = []
    if "widths" in tables:
        found += _last_layers(study, tables["widths"], labels)
    if "similarity" in tables:
        found += [
            (place, alike_between_sources(rows, row, label))
            for place, rows in similar_places(tables["similarity"])
            for row, label in labels.items()
        ]
        found += [
            alike_between_datasets(study, tables["similarity"], name, labels) for name in study.transfer.comparisons
        ]
    return found


def similar_places(similarity: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return the title and the pairs of each target."""
    same = similarity["one_dataset"] == similarity["other_dataset"]
    same &= similarity["one_target"] == similarity["other_target"]
    groups = similarity[same].groupby(PLACE, sort=False)
    return [(title_of(*map(str, place)), rows) for place, rows in groups]


def last_layer_widens(rows: pd.DataFrame, label: str) -> Finding | None:
    """Section 4.1, Figure A1: the last layers of optimised networks have far more channels than the un-optimised one.

    The paper's last layers (512 channels in ResNet18, 1280 in MobileNetV2) are the first of the widest dimensions. They
    are compared with the plain network of equal MACs, which for the paper's target is 1.732 times as wide.

    Parameters
    ----------
    rows
        Rows of "widths" of one optimiser, for one target of an axis over the width.
    label
        The optimiser's name.
    """
    if rows.empty:
        return None
    full = (rows["count"] / rows["multiplier"]).round()
    last = rows[rows["position"] == rows.loc[full == full.max(), "position"].min()]
    times = last.groupby("seed")["multiplier"].mean()
    verdict = above(mean_of(times), exact(1))
    opposite = ", the opposite of what the paper finds" if verdict == "does not hold" else ""
    numbers = f"{last['channels'].iloc[0]}: {mean_with_spread(times)} times as many at equal MACs{opposite}"
    claim = f"{label}'s last layers have more channels than uniform ones"
    return Finding("Section 4.1, Figure A1", claim, verdict, f"{numbers} {LAST_LAYERS}")


def alike_between_sources(rows: pd.DataFrame, optimizer: str, label: str) -> Finding | None:
    """Appendix D, Figure A2: widths of one optimiser are alike, whatever their source; more than with uniform ones.

    Parameters
    ----------
    rows
        Rows of "similarity" for one target (`similar_places`).
    optimizer, label
        The optimiser's row and name.
    """
    own = rows[(rows["one_optimizer"] == optimizer) & rows["other_optimizer"].isin([optimizer, "uniform"])]
    groups = {
        "between sources": cosine_by_seed(own[between_sources(own)]),
        "with uniform": cosine_by_seed(own[own["relation"] == "uniform"], one=True),
    }
    between, floor = groups.values()
    if between.empty or floor.empty:
        return None
    seeds = own.loc[own["relation"] == "seeds", "cosine"]
    means = [f"{name} {mean_with_spread(found, '.3f')}" for name, found in groups.items()]
    means += [f"between seeds {seeds.mean():.3f}"] if len(seeds) else []
    claim = f"{label}'s widths from different sources are more alike than they are like uniform ones"
    verdict = above(mean_of(between - floor), exact(0))
    return Finding("Appendix D, Figure A2", claim, verdict, f"cosine {', '.join(means)}")


def cosine_by_seed(pairs: pd.DataFrame, *, one: bool = False) -> pd.Series:
    """Return the mean cosine of each seed, of pairs whose vectors both have it; `one`: of the first vector's seed."""
    found = pairs if one else pairs[pairs["one_seed"] == pairs["other_seed"]]
    return found.groupby(found["one_seed"].astype(int))["cosine"].mean()


def alike_between_datasets(
    study: TransferStudy, similarity: pd.DataFrame, comparison: str, labels: Mapping[str, str]
) -> tuple[str, Finding | None]:
    """Appendix C, table 1: widths of the small data set and another are more alike than with uniform ones."""
    part = study.transfer.comparisons[comparison]
    title = display_name(part.model)
    here = similarity[(similarity["model"] == part.model) & similarity["one_optimizer"].isin(part.optimizers or labels)]
    one, other = (_compared(study, comparison, here, which) for which in ("one", "other"))
    elsewhere = here["one_dataset"] != here["other_dataset"]
    pairs = here[(here["one_optimizer"] == here["other_optimizer"]) & elsewhere & (one == other) & (one != "")]
    floors = here[(here["relation"] == "uniform") & (here["one_dataset"] == part.datasets[0]) & (one != "")]
    between, floor = cosine_by_seed(pairs), cosine_by_seed(floors, one=True)
    if between.empty or floor.empty:
        return title, None
    optimisers = " and ".join(labels[row] for row in pairs["one_optimizer"].unique())
    sets = " and ".join(map(display_name, part.datasets))
    claim = f"{optimisers}'s widths for {sets} are more alike than they are like uniform ones"
    shown = ", ".join(configuration_title(name) for name in dict.fromkeys(floors["one_target"]))
    numbers = f"{shown}: cosine between data sets {mean_with_spread(between, '.3f')}, with uniform " + (
        f"{mean_with_spread(floor, '.3f')} (paper: 0.91 to 0.96, with uniform 0.88 to 0.93)"
    )
    return title, Finding("Appendix C, Table 1", claim, above(mean_of(between - floor), exact(0)), numbers)


def _compared(study: TransferStudy, comparison: str, pairs: pd.DataFrame, which: str) -> pd.Series:
    """Return the network of a comparison, whatever its images, that a vector was optimised for directly; "" for others.

    `which` is "one" or "other".
    """
    tasks = [axis.target for axis in study.axes() if axis.name == comparison]
    names = {
        (task.dataset, task.configuration.name): task.configuration.model_copy(update={"image_size": None}).name
        for task in tasks
    }
    columns = [f"{which}_{name}" for name in ("dataset", "target", "source")]
    cells = pairs[columns].itertuples(index=False, name=None)
    found = [names.get((dataset, target), "") if source == target else "" for dataset, target, source in cells]
    return pd.Series(found, index=pairs.index, dtype=object)


def _last_layers(
    study: TransferStudy, widths: pd.DataFrame, labels: Mapping[str, str]
) -> list[tuple[str, Finding | None]]:
    found = []
    for axis in study.axes():
        if axis.kind == "width":
            target, sources = axis.target, [task.configuration.name for task in axis.sources]
            here = widths[
                (widths["model"] == target.model)
                & (widths["dataset"] == target.dataset)
                & (widths["target"] == target.configuration.name)
                & widths["source"].isin(sources)
            ]
            panel = title_of(target.model, target.dataset, target.configuration.name)
            found += [(panel, last_layer_widens(here[here["optimizer"] == row], labels[row])) for row in labels]
    return found
