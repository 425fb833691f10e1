"""Cases measured in turn, and their ratios: medians over rounds, because both cases of a ratio share each round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd
import torch

from awnlib.jobs.hardware import cpu_features
from benchmarks.workload import Options, synchronise

Case = Callable[[], object]
Instructions = Literal["", "AVX-512", "bfloat16"]


@dataclass(frozen=True)
class Target:
    """What a ratio should be, and the instructions without which it is not expected; empty: on every machine."""

    kind: Literal["at most", "at least"]
    value: float
    holds_with: Instructions = ""

    def reached(self, ratio: float) -> bool:
        """Whether a ratio is on the right side."""
        return ratio <= self.value if self.kind == "at most" else ratio >= self.value


def at_most(value: float, *, holds_with: Instructions = "") -> Target:
    """Return the target of a ratio that should be small."""
    return Target("at most", value, holds_with)


def at_least(value: float, *, holds_with: Instructions = "") -> Target:
    """Return the target of a ratio that should be large."""
    return Target("at least", value, holds_with)


def instructions(options: Options) -> frozenset[str]:
    """Return which of the instructions that targets hold with are used here: none known on a GPU, or by the system."""
    features = cpu_features() if options.device == "cpu" else None
    vectors = torch.backends.cpu.get_cpu_capability() == "AVX512"  # of torch's own kernels; oneDNN has the convolutions
    found = {"AVX-512": vectors and "avx512" in (features or ()), "bfloat16": "bfloat16" in (features or ())}
    return frozenset(name for name, there in found.items() if there)


@dataclass(frozen=True)
class Ratio:
    """Two cases of a benchmark to compare."""

    numerator: str
    denominator: str
    target: Target | None = None


@dataclass(frozen=True)
class Benchmark:
    """What is run and what is compared.

    Attributes
    ----------
    name, cases, ratios
        The cases by name, and which of them are compared.
    before
        What some of the cases need to have done before them, unmeasured.
    unit
        Of the measurements: "ms" or "MiB".
    timed
        Whether the cases are timed. The others return their measurement; they run in processes of their own, so
        there is nothing to warm up.
    max_rounds
        Rounds that are enough.
    skipped
        Why nothing is measured on this machine; empty if something is.

    Raises
    ------
    ValueError
        If a case is in no ratio, or a ratio names no case.
    """

    name: str
    cases: Mapping[str, Case] = field(default_factory=dict)
    ratios: list[Ratio] = field(default_factory=list)
    before: Mapping[str, Case] = field(default_factory=dict)
    unit: Literal["ms", "MiB"] = "ms"
    timed: bool = True
    max_rounds: int = 1000
    skipped: str = ""

    def __post_init__(self) -> None:
        compared = {case for ratio in self.ratios for case in (ratio.numerator, ratio.denominator)}
        if compared != set(self.cases):
            names = ", ".join(sorted(compared ^ set(self.cases)))
            raise ValueError(f"benchmark {self.name}: ratios must compare all cases and nothing else; see {names}")


def measure(benchmark: Benchmark, options: Options) -> list[dict[str, Any]]:
    """Run every case once in each round, in rotated order, and return one row for each ratio."""
    names, rounds = list(benchmark.cases), min(options.rounds, benchmark.max_rounds)
    values: list[dict[str, float]] = []
    for turn in range(rounds + benchmark.timed):
        first = turn % max(len(names), 1)
        values.append({name: _measure_once(benchmark, name, options) for name in names[first:] + names[:first]})
    table = pd.DataFrame(values[-rounds:], columns=names)
    here = instructions(options)
    return [_row(benchmark, ratio, table, here) for ratio in benchmark.ratios]


def _measure_once(benchmark: Benchmark, name: str, options: Options) -> float:
    benchmark.before.get(name, lambda: None)()
    synchronise(options)
    started = time.perf_counter()
    result: Any = benchmark.cases[name]()
    synchronise(options)
    return 1000 * (time.perf_counter() - started) if benchmark.timed else float(result)


def _row(benchmark: Benchmark, ratio: Ratio, table: pd.DataFrame, here: frozenset[str]) -> dict[str, Any]:
    """Return the median and the quartiles of the ratios of each round, and whether a target that holds is reached."""
    ratios, target = table[ratio.numerator] / table[ratio.denominator], ratio.target
    median = float(ratios.median())
    return {
        "benchmark": benchmark.name,
        "case": ratio.numerator,
        "reference": ratio.denominator,
        "ratio": median,
        "ratio_q25": ratios.quantile(0.25),
        "ratio_q75": ratios.quantile(0.75),
        "rounds": len(ratios),
        "unit": benchmark.unit,
        f"case_{benchmark.unit.lower()}": table[ratio.numerator].median(),
        f"reference_{benchmark.unit.lower()}": table[ratio.denominator].median(),
        "target": None if target is None else target.value,
        "target_kind": None if target is None else target.kind,
        "holds_with": None if target is None else target.holds_with or None,
        "reached": None if target is None or {target.holds_with} - {"", *here} else target.reached(median),
    }
