"""The paper's figures: study tables in, matplotlib figures out.

Every function takes the exhibit (panels and methods), the study's methods and the tables it draws from, and returns
a ``Figure`` that ``save_figure`` writes as PNG and SVG. What is missing is named, never an error.
"""

from awnlib.papers.any_width_networks.figures.curves import figure4, figure5, figure5_macs, figure6
from awnlib.papers.any_width_networks.figures.statistics import figure2
from awnlib.results.style import save_figure

__all__ = ["figure2", "figure4", "figure5", "figure5_macs", "figure6", "save_figure"]
