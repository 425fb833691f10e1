"""Networks of selectable width, by name: each model is one file of this package, named after it.

A model file ``awnlib/models/<name>.py`` defines ``build(spec: ModelSpec) -> SlimmableModel``; adding a file adds
the model. Listing the names imports neither torch nor the models, so the classes are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from awnlib.lazy import lazy_names, names_for_types

if TYPE_CHECKING:
    from awnlib.models._base import SlimmableModel as SlimmableModel
    from awnlib.models._base import StageBlocks as StageBlocks
    from awnlib.models._files import load_model as load_model
    from awnlib.models._files import save_model as save_model
    from awnlib.models._spec import ModelSpec as ModelSpec
    from awnlib.models._spec import Width as Width
    from awnlib.models._weights import load_torchvision_weights as load_torchvision_weights

__getattr__ = lazy_names(__name__, names_for_types(__file__))


def model_names() -> list[str]:
    """Return the names that ``create_model`` knows."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))


def create_model(name: str, **options: Any) -> SlimmableModel:
    """Build a network of selectable width.

    Parameters
    ----------
    name
        One of ``model_names()``.
    **options
        The other fields of ``ModelSpec``: ``input_shape``, ``num_classes``, ``layer``, ``norm``, ``switches``,
        ``base_width_mult``, ``min_width_mult``, ``divisor``, ``channels`` and so on.

    Examples
    --------
    >>> model = create_model("lenet_3c1l", layer="triangular", base_width_mult=2**0.5)
    >>> model.set_width_mult(0.35)

    Raises
    ------
    ValueError
        For an unknown name, option or value; the message lists what is allowed.
    """
    from awnlib.models._spec import ModelSpec
    from awnlib.settings import Settings, parse

    if name not in model_names():
        raise ValueError(f"unknown model '{name}' (allowed: {', '.join(model_names())})")
    spec = parse(ModelSpec, {"name": name, **options}, origin=f"model {name}")
    module = import_module(f"awnlib.models.{name}")
    parse(getattr(module, "Options", Settings), spec.options, origin=f"model {name}", prefix="options")
    model: SlimmableModel = module.build(spec)
    return model


def create_structure(name: str, **options: Any) -> SlimmableModel:
    """Build the same network as ``create_model``, on torch's meta device: its structure without the weights."""
    import torch

    with torch.device("meta"):
        return create_model(name, **options)
