import subprocess
import sys

CODE = """
import os, subprocess, sys
from awnlib.jobs.logs import log_to
print("before", flush=True)
log_to(sys.argv[1])
print("python out")
print("python error", file=sys.stderr)
os.write(1, b"past python\\n")
subprocess.run([sys.executable, "-c", "print('child')"])
raise RuntimeError("the end")
"""


def test_everything_printed_afterwards_goes_to_the_file(tmp_path):
    path = tmp_path / "a.log"
    path.write_text("of the last attempt")
    result = subprocess.run([sys.executable, "-c", CODE, path], capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("before\n", "")
    text = path.read_text()
    for line in ("python out", "python error", "past python", "child", "RuntimeError: the end"):
        assert line in text
    assert "before" not in text
    assert "of the last attempt" not in text
