"""The channels of a network in the proportions of a width vector, at the MACs that it has without.

So width transfer meets networks of selectable width: any method can start from optimised counts, and is compared with
itself at equal MACs.
"""

from __future__ import annotations

from collections.abc import Mapping

from awnlib.budget import TOLERANCE, fill_budget, rounded_counts, scale_to_budget
from awnlib.model_cost import cost, output_positions
from awnlib.models import ModelSpec, SlimmableModel, create_structure
from awnlib.training.engine import model_spec
from awnlib.training.run import RunConfig


def with_base_counts(run: RunConfig, input_shape: tuple[int, int, int], num_classes: int) -> RunConfig:
    """Return a run with the channels that follow from its method's `width_vector`; the run itself if it has none.

    Raises
    ------
    ValueError
        As `base_counts`.
    """
    vector = run.method_settings.width_vector
    if not vector:
        return run
    counts = base_counts(vector, model_spec(run, input_shape, num_classes))
    return run.model_copy(update={"counts": counts})


def base_counts(width_vector: Mapping[str, float], spec: ModelSpec) -> dict[str, int]:
    """Return full counts in the proportions of a width vector that cost at full width what those of a network cost.

    The MACs of triangular layers depend on the order in which the channels of all dimensions appear; here they are
    counted, not estimated.

    Parameters
    ----------
    width_vector
        Multipliers by name, for all dimensions of the network; a common factor does not matter.
    spec
        The network with the counts that it has without.

    Returns
    -------
    dict
        Channels by name.

    Raises
    ------
    ValueError
        If dimensions are missing or unknown, or the closest MACs are further from the network's than `TOLERANCE`.
    """
    plain = create_structure(**spec.model_dump())
    check_dimensions(width_vector, plain)
    full = {name: channels.full for name, channels in plain.channels.items()}
    positions = output_positions(plain)
    known: dict[tuple[int, ...], int] = {}

    def macs_of(counts: Mapping[str, int]) -> int:
        key = tuple(counts[name] for name in full)
        if key not in known:
            channels = {**spec.channels, **counts}
            known[key] = cost(create_structure(**{**spec.model_dump(), "channels": channels}), positions).macs
        return known[key]

    budget = macs_of(full)
    scaled = scale_to_budget(width_vector, full, macs_of, budget)
    counts = rounded_counts(scaled, full)
    if macs_of(counts) < (1 - TOLERANCE) * budget:
        counts = fill_budget(scaled, full, macs_of, budget)
    if macs_of(counts) < (1 - TOLERANCE) * budget:
        raise ValueError(
            f"the closest MACs to the {budget:,} of {spec.name} in the proportions of width_vector are "
            f"{macs_of(counts):,}, further away than {TOLERANCE:.0%}"
        )
    return counts


def check_dimensions(width_vector: Mapping[str, float], model: SlimmableModel) -> None:
    """Raise a ValueError unless a width vector names all dimensions of a network and no others."""
    if set(width_vector) != set(model.channels):
        names, found = ", ".join(model.channels), ", ".join(width_vector)
        raise ValueError(f"width_vector must name the dimensions of {model.spec.name} ({names}), found {found}")
