"""How fast awnlib is beside what one would run instead, as ratios: `python -m benchmarks`.

Each module is one benchmark: its function `benchmarks(options)` says what is run and what is compared with what
(`benchmarks.measure.Benchmark`). Ratios carry over between machines and noisy neighbours, milliseconds do not.
"""

NAMES = (
    "train_step",
    "mobilenet_v2",
    "super_resolution",
    "width_counts",
    "sweep",
    "calibration",
    "data_path",
    "layer_kernels",
    "slices",
    "anytime",
    "gpu_busy",
    "packing",
    "memory",
    "agents",
)
