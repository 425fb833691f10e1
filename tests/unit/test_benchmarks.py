import subprocess
import sys

import pandas as pd


def test_speed_prints_and_writes_its_ratios(repository, tmp_path):
    path = tmp_path / "speed.parquet"
    command = [sys.executable, "benchmarks/speed.py", "--rounds", "1", "--batch-size", "2", "--output", str(path)]
    output = subprocess.run(command, cwd=repository, check=True, capture_output=True, text=True).stdout
    table = pd.read_parquet(path)
    assert set(table["study"]) == {"training step", "sweep of 35 widths", "four widths of one batch"}
    assert all(case in output for case in table["case"])
    assert (table["ratio"] > 0).all()
    assert (table.groupby("study", sort=False)["ratio"].first() == 1).all()
