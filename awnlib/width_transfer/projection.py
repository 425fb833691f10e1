"""Projections: a training configuration made cheaper, for the search of widths only.

    projection = Projection(width_mult=0.5, depth_mult=1, image_size=16, data_share=0.1)
    data = projection.choose_images(data, seed)
    spec = projection.project_network(spec)

Each of the four can stand alone; together they are the compound projection of Width Transfer, section 4.5. Imports no
torch, so that a configuration is checked without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from awnlib.settings import Settings

if TYPE_CHECKING:
    from awnlib.data import DataSet
    from awnlib.models import ModelSpec


class Projection(Settings):
    """What a cheap training configuration has in place of the original's; null: nothing.

    References
    ----------
    Width Transfer, section 3.3: width and depth project the network, images and resolution the data.
    """

    width_mult: float | None = Field(default=None, gt=0, description="width of all layers")
    depth_mult: int | None = Field(default=None, ge=1, description="blocks in each stage; at most the original's")
    image_size: int | None = Field(default=None, ge=8, description="resize to this")
    data_share: float | None = Field(default=None, gt=0, le=1, description="share of the training images")

    def project_network(self, spec: ModelSpec) -> ModelSpec:
        """Return what the projected network is built from.

        It has the layers of the original whatever the resolution: the first ones keep or reduce it as they do there.

        Raises
        ------
        ValueError
            If the specification gives counts one by one, which no multiplier applies to.
        """
        if spec.channels and self.width_mult is not None:
            raise ValueError("width_mult cannot project a network whose channels are given one by one")
        changes: dict[str, object] = {"base_width_mult": self.width_mult, "depth_mult": self.depth_mult}
        if self.image_size is not None and spec.input_shape[1:] != (self.image_size, self.image_size):
            changes["stem"] = "small" if spec.small_stem else "large"
            changes["input_shape"] = (spec.input_shape[0], self.image_size, self.image_size)
        return spec.model_copy(update={key: value for key, value in changes.items() if value is not None})

    def choose_images(self, data: DataSet, seed: int) -> DataSet:
        """Return the data set with its share of the training images: random ones, the same share of each class.

        The images of a smaller share are among those of a larger one. Test images, mean and std stay as they are.

        Raises
        ------
        ValueError
            If the share is so small that some class has no image.
        """
        from awnlib.data.splits import balanced_order, check_classes, subset

        if self.data_share is None or self.data_share == 1:
            return data
        order = balanced_order(data, seed, "data_share")
        chosen = order[: round(self.data_share * len(order))]
        check_classes(data, chosen, f"data_share {self.data_share:g}")
        return subset(data, chosen)
