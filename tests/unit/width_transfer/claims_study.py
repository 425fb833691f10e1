"""The study whose claims are checked on tables made by hand, and the names of its configurations."""

import pandas as pd

from awnlib.results.columns import TABLES
from awnlib.studies.transfer.config import parse_transfer_study

AXIS = {"model": "resnet18", "dataset": "small"}
STUDY = parse_transfer_study(
    {
        "study": "claims",
        "seeds": [0, 1],
        "datasets": {"small": {"source": "mnist5k"}, "large": {"source": "mnist5k"}},
        "transfer": {
            "search": {"batch_size": 20},
            "optimizers": {
                "morphnet": {},
                "dmcp": {},
                "folded": {"optimizer": "dmcp", "label": "DMCP on 3 folds", "settings": {"folds": 3}},
                "other": {"optimizer": "dmcp", "label": "slow DMCP", "settings": {"lr": 0.001}},
            },
            "axes": {
                "width": {**AXIS, "kind": "width", "sources": [{"width_mult": 0.5}, {"width_mult": 0.25}]},
                "depth": {**AXIS, "kind": "depth", "target": {"depth_mult": 3}, "sources": [{"depth_mult": 1}]},
                "stacking": {**AXIS, "kind": "stacking", "target": {"depth_mult": 2}, "sources": [{"depth_mult": 1}]},
                "resolution": {**AXIS, "kind": "resolution", "sources": [{"image_size": 14}]},
                "data": {**AXIS, "kind": "data", "sources": [{"data_share": 0.5}]},
                "compound": {
                    **AXIS,
                    "kind": "compound",
                    "sources": [{"width_mult": 0.5}, {"width_mult": 0.25, "data_share": 0.05}],
                },
            },
            "comparisons": {
                "sets": {"model": "resnet18", "datasets": ["small", "large"], "configurations": [{"width_mult": 0.5}]}
            },
        },
    }
)
EMPTY = {"transfer": pd.DataFrame(columns=TABLES["transfer"].names)}
DIRECT, HALF, QUARTER = "w1-d1-s1", "w0.5-d1-s1", "w0.25-d1-s1"
TWENTIETH = "w0.25-d1-s0.05"  # costs 16 x 20 times less, by its multipliers
