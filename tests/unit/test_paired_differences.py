"""Differences image by image, by hand; and pictures beside each other."""

import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from awnlib.papers.us_nets import crops
from awnlib.results.columns import TABLES
from awnlib.results.exhibits import Exhibit, PanelConfig
from awnlib.results.renderers import paired_differences
from awnlib.settings import ConfigError
from awnlib.studies.widths.config import parse_study
from awnlib.tasks import task_metrics
from awnlib.training.methods import load_methods
from tests.conftest import STUDY

PSNR = task_metrics("super_resolution")[0]
CELL = {"dataset": "photos", "model": "wdsr", "test_set": "some", "variant": "as_trained"}
IMAGES = "abc"


def rows(method, width, seed, scores, *, baseline=30.0, picture=None, test_set="some"):
    """Rows of the table `images`, an image for each score."""
    shown = {f"picture{end}": picture for end in ("", "_before", "_target")}
    about = {**CELL, "method": method, "label": f"<{method}>", "seed": seed, "width_mult": width, "test_set": test_set}
    return [
        {**about, "image": image, "metric": "psnr_db", "score": score, "baseline": baseline, **shown}
        for image, score in zip(IMAGES, scores, strict=True)
    ]


def exhibit(name="figure4_pairs", methods=("i_net", "us_net")):
    panel = PanelConfig(model="wdsr", dataset="photos", test_set="some")
    return Exhibit(f"us_nets.{name}", PSNR, [panel], list(methods), load_methods())


def tables(*found):
    images = [row for some in found for row in some]
    runs = {(row["method"], row["seed"]): row for row in images}.values()
    frames = {"images": images, "runs": [{**row, "state": "ok"} for row in runs]}
    return {name: pd.DataFrame(found, columns=TABLES[name].names) for name, found in frames.items()}


FOUND = (
    rows("i_net", 1.0, 0, [31, 32, 33]),
    rows("i_net", 1.0, 1, [31, 32, 34]),
    rows("us_net", 1.0, 0, [31.3, 31.9, 33.1]),
    rows("us_net", 1.0, 1, [31.3, 32.3, 34.3]),
    rows("us_net", 0.5, 0, [31, 32, 33]),
    rows("us_net", 1.0, 0, [99, 99, 99], test_set="others"),
)


def test_differences_are_means_over_pairs_of_one_image_seed_and_width():
    frame = paired_differences.make(exhibit(), tables(*FOUND))
    assert set(frame["method"]) == {"us_net"}
    assert frame["metric"].tolist() == ["psnr_db_over_i_net", "better_pct"]
    difference, better = frame.to_dict("records")
    assert difference["width_mult"] == better["width_mult"] == 1  # at half the width there is no other network
    assert difference["score"] == pytest.approx((0.1 + 0.3) / 2)
    assert difference["std"] == pytest.approx(0.2 / 2**0.5)
    assert better["score"] == pytest.approx((200 / 3 + 100) / 2)
    assert (difference["num_seeds"], difference["missing"]) == (2, 0)


def test_a_seed_without_a_pair_is_missing():
    frame = paired_differences.make(exhibit(), tables(*FOUND[:1], *FOUND[2:4]))
    assert frame["num_seeds"].tolist() == frame["missing"].tolist() == [1, 1]
    assert frame["score"].iloc[0] == pytest.approx(0.1)


def test_over_the_baseline_every_width_has_a_difference():
    shown = exhibit("figure4_gains")
    frame = paired_differences.make(shown, tables(*FOUND))
    wide, narrow = frame.query("method == 'us_net' and metric == 'psnr_db_over_baseline'")["score"]
    assert wide == pytest.approx((31.3 + 31.9 + 33.1 + 31.3 + 32.3 + 34.3) / 6 - 30)
    assert narrow == pytest.approx(2)
    gains, shares = paired_differences.layout(shown, frame)
    assert gains.title == "PSNR minus that of the bicubic enlargement, dB: WDSR, photos, some"
    assert gains.columns == ["width", "<i_net>", "<us_net>"]
    (width, [i_net, us_net]), (narrower, [_, other]) = gains.rows
    assert (width, narrower) == ("1x", "0.5x")
    assert i_net.ours == "+2.167 ± 0.236"
    assert us_net.ours == "+2.367 ± 0.377"
    assert us_net.is_best
    assert other.ours == "+2.000†"
    assert shares.title.startswith("Images that are better, %: ")
    assert shares.rows[0][1][0].ours == "100 ± 0"


def test_less_is_better_of_other_metrics():
    shown = exhibit()
    metric = next(metric for metric in task_metrics("super_resolution") if not metric.higher_is_better)
    shown = Exhibit(shown.name, metric, shown.panels, shown.methods, shown.settings)
    found = tables(*FOUND[:1], *FOUND[2:3])
    found["images"]["metric"] = metric.name
    frame = paired_differences.make(shown, found)
    assert frame.set_index("metric").loc["better_pct", "score"] == pytest.approx(100 / 3)


def picture(value):
    file = io.BytesIO()
    Image.fromarray(np.full((9, 9, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_pictures_of_the_first_seed_stand_beside_each_other():
    shown = [
        rows("us_net", width, seed, [31 + seed, 32 + width, 33], picture=picture(int(100 * width) + seed))[:2]
        for width in (0.5, 1.0)
        for seed in (3, 2)
    ]
    without = rows("i_net", 1.0, 2, [31, 32, 33])
    figure = crops.draw(exhibit("figure4_crops"), tables(*shown, without))
    assert len(figure.axes) == 2 * 4  # two images of one method; original, bicubic and two widths
    titles = [axes.get_title(loc="left") for axes in figure.axes[:4]]
    assert titles == ["original", "bicubic 30.00 dB", "1x 33.00 dB", "0.5x 33.00 dB"]
    assert [axes.get_ylabel() for axes in figure.axes[::4]] == ["a\n<us_net>", "b\n<us_net>"]
    drawn = [axes.images[0].get_array()[0, 0, 0] for axes in figure.axes[:4]]
    assert drawn[2:] == [102, 52]
    assert isinstance(figure, mpl.figure.Figure)


def test_an_exhibit_of_single_images_is_refused_where_none_are_measured():
    data = {**STUDY, "exhibits": {"us_nets.figure4": STUDY["exhibits"]["any_width_networks.table2"]}}
    with pytest.raises(ConfigError, match=r"exhibits\.us_nets\.figure4_pairs: it needs the table images, which this"):
        parse_study(data)
