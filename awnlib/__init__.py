"""Convolutional networks whose width is chosen at run time."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("awnlib")
except PackageNotFoundError:  # a checkout that is on the path but not installed
    __version__ = "0+unknown"
