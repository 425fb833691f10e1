"""A table or a figure of a study: which methods on which models and data sets."""

from __future__ import annotations

from pydantic import Field

from awnlib.settings import Settings


class PanelConfig(Settings):
    """One model on one data set, compared with the paper's numbers for `paper_dataset`."""

    model: str = Field(description="a model of the library, such as lenet_3c1l")
    dataset: str = Field(description="a data set of this study")
    paper_dataset: str | None = Field(
        default=None, description="a data set of the paper, such as fashion_mnist; null: the data set's own name"
    )


class ExhibitConfig(Settings):
    """A table or a figure: which methods on which panels."""

    panels: list[PanelConfig] = Field(min_length=1, description="models and data sets, a row or a subplot each")
    methods: list[str] = Field(min_length=1, description="methods by name")
