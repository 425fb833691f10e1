"""What the compound projections of Width Transfer cost, and by how much they reduce the overhead of a search.

`python -m awnlib.studies.transfer.compound` prints it for MobileNetV2 and ResNet18 on ImageNet, next to the paper's
320. Nothing is trained, and no image is read.

References
----------
Width Transfer, section 4.5 and figure 6; hyper-parameters from section 3.4 and appendix A.
"""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd

from awnlib.jobs.logs import speak_utf8
from awnlib.models import ModelSpec, create_structure
from awnlib.results.titles import display_name
from awnlib.studies.transfer.cells import Configuration, ratio_of_costs
from awnlib.width_transfer.costs import LayerCost, layer_costs, total_macs
from awnlib.width_transfer.ledger import (
    Ledger,
    even_counts,
    overhead_factor,
    planned_autoslim,
    planned_dmcp,
    planned_morphnet,
)

COMPOUND = (
    Configuration(width_mult=0.312, depth_mult=1, image_size=64, data_share=0.05),
    Configuration(width_mult=0.707, depth_mult=1, image_size=160, data_share=0.1),
    Configuration(width_mult=1.0, depth_mult=1, image_size=224, data_share=0.5),
    Configuration(width_mult=1.414, depth_mult=2, image_size=320, data_share=1.0),
)
"""Width Transfer, section 4.5: the last one is the original."""
IMAGENET_IMAGES, NUM_CLASSES, NUM_EPOCHS = 1_281_167, 1000, 40
ENLARGEMENT = 1.5
"""Channels of the supernet of DMCP and AutoSlim relative to the un-optimised network (appendix A)."""
EVALUATION_IMAGES = 2000
"""Of AutoSlim, whatever the projection: so many make batch statistics accurate."""
HELD_OUT = 0.04
"""Share of the training images that AutoSlim does not train with: its authors' 50,000 images."""
NOTE = (
    "Factors: how many times as much the last row costs. The product of ratios squares those of width and resolution. "
    "The paper reports a reduction of up to 320 times, which is the product of (0.707, 1, 160, 10 %)."
)


def compound_table(name: str) -> pd.DataFrame:
    """Return what each optimiser costs with one network in the four compound projections of the paper.

    Candidates are tenths of the un-optimised counts from 0.1 to 1.5 for DMCP, and twelfths of the enlarged ones from 2
    to 12 for AutoSlim, as in their authors' code; AutoSlim holds out a part of the images. All layers follow the width,
    and counts are rounded to whole numbers.

    Parameters
    ----------
    name
        "mobilenet_v2" or "resnet18".

    Returns
    -------
    DataFrame
        A row for each projection: MACs of the un-optimised network, images in all epochs, the MACs of each search,
        and how many times as much the original costs; last the product of the four multipliers' own ratios (squared
        for width and resolution), which counts a cost that is exactly proportional to each.
    """
    plans = [_plans(name, projection) for projection in COMPOUND]
    rows = []
    for projection, (macs, num_images, ledgers) in zip(COMPOUND, plans, strict=True):
        row: dict[str, Any] = {"projection": _title(projection), "macs": macs, "num_images": num_images}
        for optimizer, ledger in ledgers.items():
            row[optimizer] = ledger.total
            row[f"{optimizer}_factor"] = overhead_factor(plans[-1][2][optimizer], ledger)
        rows.append(row | {"multipliers_factor": _product(projection)})
    return pd.DataFrame(rows)


def _plans(name: str, projection: Configuration) -> tuple[int, float, dict[str, Ledger]]:
    """Return MACs of the un-optimised network, images in all epochs, and each optimiser's plan."""
    spec = ModelSpec(
        name=name, input_shape=(3, 224, 224), num_classes=NUM_CLASSES, layer="sliced", stem="large", slim_last=True
    )
    spec = projection.project_network(spec)
    plain, enlarged = _layers(spec), _layers(spec, ENLARGEMENT)
    macs = total_macs(plain, lambda channels: channels.full)
    num_images = NUM_EPOCHS * round(projection.data_share * IMAGENET_IMAGES)
    tenths, twelfths = even_counts(0.1 / ENLARGEMENT, 15), even_counts(2 / 12, 11)
    ledgers = {
        "dmcp": planned_dmcp(enlarged, tenths, num_images),
        "autoslim": planned_autoslim(
            enlarged,
            twelfths,
            (1 - HELD_OUT) * num_images,
            target_macs=macs,
            evaluation_images=EVALUATION_IMAGES,
        ),
        "morphnet": planned_morphnet(plain, num_images),
    }
    return macs, num_images, ledgers


def _layers(spec: ModelSpec, enlargement: float = 1.0) -> list[LayerCost]:
    options = {**spec.model_dump(), "base_width_mult": enlargement * spec.base_width_mult}
    return layer_costs(create_structure(**options))


def _title(projection: Configuration) -> str:
    width, depth, size, share = projection.model_dump().values()
    return f"({width:g}, {depth}, {size}, {100 * share:g} %)"


def _product(projection: Configuration) -> float:
    """Return the ratio of the original's overhead to a projection's if it were proportional to each multiplier."""
    return ratio_of_costs(COMPOUND[-1], projection)


def _arithmetic(projection: Configuration) -> str:
    original = COMPOUND[-1]
    return (
        f"({original.width_mult:g} / {projection.width_mult:g})² x "
        f"{original.depth_mult} / {projection.depth_mult} x ({original.image_size} / {projection.image_size})² x "
        f"{100 * original.data_share:g} % / {100 * projection.data_share:g} % = {_product(projection):,.1f}"
    )


def _markdown(name: str) -> str:
    """Return the table of one network, and its arithmetic, for readers."""
    table = compound_table(name)
    shown = {
        "width, depth, resolution, images": table["projection"],
        "MACs / 10⁶": (table["macs"] / 1e6).map("{:,.1f}".format),
        "images x epochs / 10⁶": (table["num_images"] / 1e6).map("{:,.2f}".format),
    }
    for optimizer, label in (("dmcp", "DMCP"), ("autoslim", "AutoSlim"), ("morphnet", "MorphNet")):
        shown[f"{label} / 10¹⁵ MACs"] = (table[optimizer] / 1e15).map("{:,.3f}".format)
        shown[f"{label}, factor"] = table[f"{optimizer}_factor"].map("{:,.1f}".format)
    shown["product of ratios"] = pd.Series([_arithmetic(projection) for projection in COMPOUND])
    lines = pd.DataFrame(shown).to_markdown(index=False, tablefmt="github", disable_numparse=True)
    return f"### {display_name(name)}\n\n{lines}\n"


if __name__ == "__main__":
    speak_utf8(sys.stdout)
    print("\n".join(_markdown(name) for name in ("mobilenet_v2", "resnet18")))
    print(NOTE)
