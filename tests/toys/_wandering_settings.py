"""The settings of wandering."""

from __future__ import annotations

from pydantic import Field

from awnlib import settings


class Settings(settings.Settings):
    """How long an epoch is."""

    steps: int = Field(default=3, ge=1, description="steps of an epoch")
