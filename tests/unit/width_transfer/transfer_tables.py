"""Small tables of a width-transfer study with numbers that are easy to follow."""

import pandas as pd

from awnlib.results.columns import TABLES

DEFAULTS = {
    "axis": "width",
    "kind": "width",
    "dataset": "mnist5k",
    "model": "resnet18",
    "target": "w1-d1-s1",
    "source": "w1-d1-s1",
    "source_width_mult": 1.0,
    "source_depth_mult": 1,
    "source_image_size": None,
    "source_data_share": 1.0,
    "extrapolation": "none",
    "state": "ok",
    "error": None,
    "test_loss": 1.0,
    "macs": 990,
    "target_macs": 1000,
    "params": 10,
    "search_time_s": 1.0,
    "train_time_s": 2.0,
}
LABELS = {"uniform": "uniform", "dmcp": "DMCP", "autoslim": "AutoSlim"}


def transfer_rows(*, axis="width", kind="width", **changes):
    """Uniform 70 and 72; DMCP 74 and 76 direct, 73 and 77 from half the width at a quarter of the cost; AutoSlim 71."""
    rows = []
    for seed in (0, 1):
        plan = [
            ("uniform", 1.0, [70.0, 72.0], None),
            ("dmcp", 1.0, [74.0, 76.0], 400.0),
            ("dmcp", 0.5, [73.0, 77.0], 100.0),
            ("autoslim", 1.0, [71.0, 71.0], 200.0),
        ]
        for optimizer, width, top1, search_macs in plan:
            direct = {"dmcp": 400.0, "autoslim": 200.0}.get(optimizer)
            rows.append(
                {
                    **DEFAULTS,
                    "axis": axis,
                    "kind": kind,
                    "source": f"w{width:g}-d1-s1",
                    "source_width_mult": width,
                    "optimizer": optimizer,
                    "label": LABELS[optimizer],
                    "is_direct": optimizer != "uniform" and width == 1.0,
                    "seed": seed,
                    "test_top1_pct": top1[seed],
                    "search_macs": search_macs,
                    "overhead_saved_pct": None if search_macs is None else 100 * (1 - search_macs / direct),
                    "overhead_factor": None if search_macs is None else direct / search_macs,
                    **changes,
                }
            )
    return pd.DataFrame(rows, columns=TABLES["transfer"].names)


def widths_rows():
    """DMCP widens the last of three dimensions: 1 and 3 from the two sources; the others 0.5."""
    rows = []
    keys = {"dataset": "mnist5k", "model": "resnet18", "target": "w1-d1-s1", "extrapolation": "none", "seed": 0}
    for optimizer, source, last in (
        ("uniform", "w1-d1-s1", 1.0),
        ("dmcp", "w1-d1-s1", 1.0),
        ("dmcp", "w0.5-d1-s1", 3.0),
    ):
        for position, channels in enumerate(("stage1", "inner1", "stage2")):
            multiplier = last if channels == "stage2" else (1.0 if optimizer == "uniform" else 0.5)
            names = {"source": source, "optimizer": optimizer, "label": LABELS[optimizer]}
            found = {
                "position": position,
                "channels": channels,
                "multiplier": multiplier,
                "count": round(8 * multiplier),
            }
            rows.append({**keys, **names, **found})
    return pd.DataFrame(rows, columns=TABLES["widths"].names)


def similarity_row(one, other, cosine):
    """One and other: (optimizer, source, seed)."""
    names = {}
    for which, (optimizer, source, seed) in (("one", one), ("other", other)):
        vector = {"dataset": "mnist5k", "target": "w1-d1-s1", "source": source, "optimizer": optimizer}
        names |= {f"{which}_{key}": value for key, value in {**vector, "extrapolation": "none", "seed": seed}.items()}
    relation = "uniform" if other[0] == "uniform" else "seeds" if one[:2] == other[:2] else "vectors"
    return {"model": "resnet18", **names, "relation": relation, "cosine": cosine}


def similarity_rows():
    """Two seeds of DMCP from two sources."""
    direct, half, uniform = "w1-d1-s1", "w0.5-d1-s1", ("uniform", "w1-d1-s1", None)
    rows = [
        similarity_row(("dmcp", direct, 0), uniform, 0.8),
        similarity_row(("dmcp", direct, 1), uniform, 0.9),
        similarity_row(("dmcp", half, 0), uniform, 0.7),
        similarity_row(("dmcp", half, 1), uniform, 0.7),
        similarity_row(("dmcp", direct, 0), ("dmcp", direct, 1), 0.99),
        similarity_row(("dmcp", half, 0), ("dmcp", half, 1), 0.97),
        similarity_row(("dmcp", direct, 0), ("dmcp", half, 0), 0.96),
        similarity_row(("dmcp", direct, 1), ("dmcp", half, 1), 0.94),
        similarity_row(("dmcp", direct, 0), ("dmcp", half, 1), 0.1),
    ]
    return pd.DataFrame(rows, columns=TABLES["similarity"].names)
