"""Convolutional networks whose width is chosen at run time."""

from importlib.metadata import version

__version__ = version("awnlib")
