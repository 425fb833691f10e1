"""One part, in a process of its own: `python -m benchmarks.gpu.part <name> <settings as JSON>`."""

from __future__ import annotations

import sys
from importlib import import_module

from benchmarks.gpu import PARTS
from benchmarks.gpu.children import end_with_parent
from benchmarks.gpu.settings import Settings


def main() -> None:
    """Do the part that the command line names, and end with its exit status."""
    end_with_parent()
    name, settings = sys.argv[1], Settings.from_json(sys.argv[2])
    folder = settings.out / name
    folder.mkdir(parents=True, exist_ok=True)
    sys.exit(import_module(f"benchmarks.gpu.{PARTS[name].module}").run(name, settings, folder))


if __name__ == "__main__":
    main()
