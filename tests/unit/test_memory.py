import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
from awnlib.jobs.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
import torch
for _ in range(5):
    torch.ones(30_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(30_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a setting of the GNU C library")
def test_the_kernel_is_not_asked_again():
    """120 MB twenty times over: about 600,000 new pages by default."""
    faults = {
        how: int(subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True).stdout)
        for how in ("keep", "default")
    }
    assert faults["keep"] < 0.5 * faults["default"]
