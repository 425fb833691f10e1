"""`ConvertedNetwork`: what a network becomes that was made slimmable, and the report of it.

Its class is a subclass of the user's, made at run time, so that `forward`, other methods and the names of parameters
stay: as torch's `fully_shard` does it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from torch import Tensor, nn

from awnlib.channels import Channels, check_apart, check_width_mult
from awnlib.convert.adapters import ConvertedBatchNorm2d
from awnlib.layers import SlimmableNetwork
from awnlib.layers.segments import Axis, take

MAY_STAND_TWICE = ("head", "features")
"""Names of the width protocol that are only used if layers are triangular; a network's own come first."""


@dataclass(frozen=True)
class Report:
    """What follows the width and what does not.

    Attributes
    ----------
    free
        Each dimension that follows the width, named after the layer where it begins, with its channels at full width,
        or the units of several channels that it consists of: the groups of a convolution.
    fixed
        For each layer of which some outputs keep their full width, or that stays as it is, the reason.
    """

    free: dict[str, int] = field(default_factory=dict)
    fixed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{len(self.free)} dimensions follow the width", *(f"  {k}: {n}" for k, n in self.free.items())]
        lines += [f"{len(self.fixed)} layers keep outputs at full width"]
        return "\n".join([*lines, *(f"  {name}: {reason}" for name, reason in self.fixed.items())])


class ConvertedNetwork(SlimmableNetwork):
    """A network made by `awnlib.convert.slimmable.to_slimmable`; the user's own class comes before this one.

    Attributes
    ----------
    report
        What follows the width and what does not.
    """

    report: Report

    def set_private_switches(self, width_mults: Sequence[float]) -> None:
        """Give each of some widths a scale, shift and statistics of its own, as S-Nets have, to be trained.

        They begin as those of the widest one before. Without this call all widths share the scale and shift, as in
        US-Nets, and `awnlib.recalibrate_bn` chooses those with statistics.

        Raises
        ------
        ValueError
            If 1 is not among the widths, one is outside the range, or two differ by rounding only.
        """
        check_apart(width_mults)
        for width_mult in width_mults:
            check_width_mult(width_mult, self.min_width_mult)
        if self.snap(max(width_mults, default=0.0)) != 1.0:
            raise ValueError(f"width 1 must have statistics, found {list(width_mults)}")
        for _, norm in self.norms():
            assert isinstance(norm, ConvertedBatchNorm2d)
            norm.set_private_switches(width_mults)
        for channels in self.channels.values():
            channels.trained = tuple(sorted(self.snap(width_mult) for width_mult in width_mults))


def adopt(model: nn.Module, channels: Mapping[str, Channels], input_shape: Sequence[int], report: Report) -> None:
    """Make a network whose layers are slimmable a `ConvertedNetwork`, in place."""
    submodules = tuple(name for name in MAY_STAND_TWICE if name in model._modules)
    states = tuple(getattr(model, "_sliced_states", ()))
    model.__class__ = _subclass(plain_class(model), states, submodules, ConvertedNetwork)
    assert isinstance(model, ConvertedNetwork)
    model._set_channels(channels, input_shape)
    model.report = report


def slice_states(module: nn.Module, axes: Mapping[str, tuple[Axis, int]]) -> None:
    """Let parameters and buffers of a module be their active part wherever its `forward` reads them, in place.

    Parameters
    ----------
    module
        A module that is no layer of the library; a scale of a residual branch is one of its parameters, say.
    axes
        For each name the axis, and along which dimension.
    """
    module.__class__ = _subclass(plain_class(module), tuple(axes), (), None)
    module._sliced_states = dict(axes)  # type: ignore[assignment]


def sliced_states(module: nn.Module) -> Iterator[tuple[Tensor, Axis, int]]:
    """Yield the whole of what `slice_states` named, with its axis and dimension."""
    axes: dict[str, Any] = module.__dict__.get("_sliced_states", {})
    for name, (axis, dim) in axes.items():
        yield _state(module, name), axis, dim


def restore(module: nn.Module) -> None:
    """Give a module of a converted network its own class again, and parameters of their active part, in place."""
    names: dict[str, Any] = module.__dict__.pop("_sliced_states", {})
    active = {}
    for name, (axis, dim) in names.items():
        state = _state(module, name)
        values = take(state, axis, dim).detach().clone()
        active[name] = nn.Parameter(values, state.requires_grad) if isinstance(state, nn.Parameter) else values
    if isinstance(module, ConvertedNetwork):
        for name in ("channels", "input_shape", "min_width_mult", "report"):
            delattr(module, name)
    module.__class__ = plain_class(module)
    for name, value in active.items():
        setattr(module, name, value)


def plain_class(module: nn.Module) -> Any:
    """Return the class that a module had before; its own if it is none of this page's."""
    return vars(type(module)).get("_plain_class", type(module))


def check_names(model: nn.Module) -> None:
    """Raise a ValueError if a network has a name of its own for something that the width protocol needs."""
    needed = {name for name in vars(SlimmableNetwork) if not name.startswith("__")} - {"extra_repr", *MAY_STAND_TWICE}
    needed |= {"set_private_switches", "channels", "input_shape", "min_width_mult", "report"}
    own = {name for base in type(model).__mro__ if base not in (nn.Module, object) for name in vars(base)}
    own |= {*vars(model), *model._modules, *model._parameters, *model._buffers}
    if needed & own:
        raise ValueError(
            f"{type(model).__name__} has names of its own that a slimmable network needs: "
            f"{', '.join(sorted(needed & own))}; rename them, or convert torch.nn.Sequential(model)"
        )


@cache
def _subclass(
    base: Any, states: tuple[str, ...], submodules: tuple[str, ...], mixin: type[SlimmableNetwork] | None
) -> Any:
    """Return a class like `base` that reads some names elsewhere, and that can be copied and pickled."""
    members: dict[str, Any] = {name: property(partial(_active_state, name=name)) for name in states}
    members |= {name: property(partial(_submodule, name=name)) for name in submodules}
    arguments = (base, states, submodules, mixin)
    members |= {
        "_plain_class": base,
        "__module__": base.__module__,
        "__doc__": base.__doc__,
        "__reduce__": lambda self: (_blank, arguments, self.__getstate__()),
    }
    bases = (base,) if mixin is None else (base, mixin)
    return type(f"Slimmable{base.__name__}", bases, members)


def _blank(*arguments: Any) -> nn.Module:
    made = _subclass(*arguments)
    blank: nn.Module = made.__new__(made)
    return blank


def _submodule(module: nn.Module, *, name: str) -> nn.Module | None:
    return module._modules[name]


def _active_state(module: nn.Module, *, name: str) -> Tensor:
    axes: Any = module._sliced_states
    return take(_state(module, name), *axes[name])


def _state(module: nn.Module, name: str) -> Tensor:
    state = {**module._buffers, **module._parameters}[name]
    assert state is not None
    return state
