"""The settings of denoising."""

from __future__ import annotations

from pydantic import Field

from awnlib import settings


class Settings(settings.Settings):
    """How much noise."""

    noise: float = Field(default=0.1, gt=0, description="its standard deviation")
