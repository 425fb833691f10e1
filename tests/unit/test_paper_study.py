"""The paper's setting.yaml against its section 5.1, cell by cell; awn_short.yaml has the same cells."""

import pytest

from awnlib.studies.widths.cells import evaluations, runs
from awnlib.studies.widths.config import load_study

# model, data set, method: epochs, first learning rate, weight decay, epochs at which it falls (None: linearly), factor
CELLS = {
    ("lenet_3c1l", "mnist", "awn_plain_width"): (20, 0.01, 0.0, [10, 15], 0.1),
    ("lenet_3c1l", "fashion_mnist", "awn_rs"): (20, 0.01, 0.0, [10, 15], 0.1),
    ("lenet_3c1l", "cifar10", "us_net"): (100, 0.01, 5e-4, [50, 75], 0.1),
    ("lenet_3c1l", "cifar100", "s_net"): (100, 0.01, 5e-4, [50, 75], 0.1),
    ("mobilenet_v2", "cifar10", "s_net"): (100, 0.1, 5e-4, None, None),
    ("mobilenet_v2", "cifar100", "us_net"): (100, 0.1, 5e-4, None, None),
    ("mobilenet_v2", "cifar10", "awn"): (700, 0.02, 1e-3, [500, 600], 0.2),
    ("mobilenet_v2", "cifar10", "awn_rs"): (350, 0.01, 1e-3, [250, 300], 0.1),
    ("mobilenet_v2", "cifar100", "awn"): (100, 0.1, 5e-4, None, None),
    ("mobilenet_v2", "cifar100", "awn_rs"): (1050, 0.01, 5e-4, [750, 900], 0.1),
}


@pytest.fixture(scope="module")
def paper(repository):
    return load_study(repository / "awnlib/papers/any_width_networks/setting.yaml")


@pytest.mark.parametrize("cell", CELLS, ids="/".join)
def test_training_details(paper, cell):
    num_epochs, lr, weight_decay, falls, gamma = CELLS[cell]
    model, dataset, method = cell
    train = paper.train_settings(model=model, dataset=dataset, method=method)
    assert (train.num_epochs, train.lr, train.weight_decay) == (num_epochs, lr, weight_decay)
    assert (train.momentum, train.batch_size, train.nesterov) == (0.9, 128, False)
    assert train.schedule == ("linear" if falls is None else "multistep")
    if falls is not None:
        assert [share * num_epochs for share in train.milestones] == pytest.approx(falls, rel=1e-15)
        assert train.gamma == gamma
    widths = paper.width_settings(model=model, dataset=dataset, method=method)
    assert widths == [1.0, 0.75, 0.5, 0.35 if model == "mobilenet_v2" else 0.25]


@pytest.mark.parametrize("exhibit", ["table1", "figure2"])
def test_table_1_and_figure_2_compare_networks_of_32_channels(paper, exhibit):
    methods = paper.exhibits[f"any_width_networks.{exhibit}"].methods
    assert len(methods) == 3
    assert {paper.resolved_methods()[name].base_width_mult for name in methods} == {1.0}


def test_table_2_has_thirty_cells(paper):
    shown = {(panel.model, panel.dataset) for panel in paper.exhibits["any_width_networks.table2"].panels}
    methods = set(paper.exhibits["any_width_networks.table2"].methods)
    columns = [e for e in evaluations(runs(paper)) if (e.run.model, e.run.dataset) in shown and e.run.method in methods]
    assert len(columns) == 30
    assert {e.label for e in columns} == {"AWN", "S-Net", "AWN+RS", "US-Net(4w)", "US-Net(10w)", "US-Net(20w)"}
    assert all(e.run.method_settings.num_widths in (None, 4) for e in columns)


def test_the_short_study_has_the_same_cells(paper, repository):
    short = load_study(repository / "configs/awn_short.yaml")
    stands_for = {"cifar10_jpeg": "cifar10", "tiny_imagenet_100": "cifar100"}
    cells = [(model, stands_for.get(dataset, dataset), method) for model, dataset, method in short.cells()]
    assert cells == paper.cells()
    for name, exhibit in short.exhibits.items():
        assert exhibit.methods == paper.exhibits[name].methods
        for panel in exhibit.panels:
            assert panel.paper_dataset == stands_for.get(panel.dataset)
