"""What became of each part, in a file beside its results."""

from __future__ import annotations

import json
import signal
from dataclasses import asdict, dataclass, field
from pathlib import Path

from awnlib.files import atomic_path
from awnlib.jobs.interrupt import TERMINATED
from benchmarks.gpu import INCOMPLETE

DONE = "done"


@dataclass(frozen=True)
class State:
    """A part's outcome so far.

    Attributes
    ----------
    outcome
        "done", or what there is left to say.
    asked
        Of which settings (`Settings.asked`), in the last call.
    calls, wall_s
        How often it was called and for how many seconds in all.
    """

    outcome: str = "not started"
    asked: dict[str, object] = field(default_factory=dict)
    calls: int = 0
    wall_s: float = 0.0

    @classmethod
    def load(cls, folder: Path) -> State:
        """Return the state of the part with this folder."""
        file = folder / "part.json"
        return cls(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else cls()

    def save(self, folder: Path) -> None:
        """Write the state of the part with this folder."""
        with atomic_path(folder / "part.json") as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def outcome_of(status: int, *, stopped: bool) -> str:
    """Return in words how a part ended, from its exit status and whether its time was up."""
    if status == 0:
        return DONE
    if stopped or status in (TERMINATED, -signal.SIGTERM):
        return "stopped at its limit; goes on in the next call"
    if status == INCOMPLETE:
        return "incomplete: its log says what is missing"
    return f"failed with status {status}: see its log"
