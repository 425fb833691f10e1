"""The area under the width-accuracy curve."""

import pytest

from awnlib.evaluation.auc import auc_pct


def test_constant_and_linear_curves():
    assert auc_pct([0.25, 0.5, 1.0], [70, 70, 70]) == pytest.approx(70)
    assert auc_pct([0.25, 0.4, 1.0], [25, 40, 100]) == pytest.approx((25 + 100) / 2)


def test_uneven_grid_weighs_by_distance_and_order_does_not_matter():
    # 0.2 to 0.4: mean 50; 0.4 to 1.0: mean 80; range 0.8
    expected = (0.2 * 50 + 0.6 * 80) / 0.8
    assert auc_pct([0.2, 0.4, 1.0], [40, 60, 100]) == pytest.approx(expected)
    assert auc_pct([1.0, 0.2, 0.4], [100, 40, 60]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("widths", "accuracies", "message"),
    [
        ([1.0], [90], "at least 2 widths"),
        ([1.0, 1.0], [90, 80], "all different, found"),
        ([0.5, 1.0], [90], r"one accuracy per width, found shapes \(2,\) and \(1,\)"),
        ([0.5, 1.0], [90, float("nan")], "finite"),
    ],
)
def test_unusable_curves_are_refused(widths, accuracies, message):
    with pytest.raises(ValueError, match=message):
        auc_pct(widths, accuracies)
