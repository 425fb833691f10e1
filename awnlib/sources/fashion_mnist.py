"""Fashion-MNIST in its original IDX files."""

from awnlib.data.torchvision_sets import read_idx

read = read_idx
