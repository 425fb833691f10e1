"""Numbers as readers see them, and that they are written in one place."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import awnlib
from awnlib.results.numbers import mean_with_spread, number, with_spread

PACKAGE = Path(awnlib.__file__).parent


@pytest.mark.parametrize(
    ("value", "spec", "unit", "text"),
    [
        (1234.5, ",.0f", "", "1,234"),
        (1.25, "+.1f", " %", "+1.2 %"),
        (np.nan, ".2f", " %", "—"),
        (None, ".2f", "", "—"),
    ],
)
def test_number(value, spec, unit, text):
    assert number(value, spec, unit) == text


@pytest.mark.parametrize(
    ("mean", "std", "spec", "text"),
    [
        (90.417, 0.1, ".2f", "90.42 ± 0.10"),
        (90.417, np.nan, ".2f", "90.42"),
        (90.417, None, ".2f", "90.42"),
        (0.8504, 0.0707, ".3f", "0.850 ± 0.071"),
        (1.25, 0.35, "+.2f", "+1.25 ± 0.35"),
        (-1.25, 0.0, "+.2f", "-1.25 ± 0.00"),
        (np.nan, np.nan, ".2f", "—"),
    ],
)
def test_mean_and_standard_deviation(mean, std, spec, text):
    assert with_spread(mean, std, spec) == text


def test_of_one_value_per_seed():
    """The deviation of 1, 2 and 6 from their mean 3 is sqrt((4 + 1 + 9) / 2)."""
    assert mean_with_spread(pd.Series([1.0, 2.0, 6.0])) == "3.00 ± 2.65"
    assert mean_with_spread(pd.Series([1.0, 2.0, 6.0]), "+.1f") == "+3.0 ± 2.6"
    assert mean_with_spread(pd.Series([3.0])) == "3.00"


def test_no_module_writes_a_spread_of_its_own():
    own = [path.name for path in PACKAGE.rglob("*.py") if re.search(r"± *\{", path.read_text(encoding="utf-8"))]
    assert own == ["numbers.py"]
