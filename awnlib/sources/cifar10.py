"""CIFAR-10, the "Python version"."""

from awnlib.data.torchvision_sets import read_cifar

read = read_cifar
