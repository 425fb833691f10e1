"""Training: methods as data, the widths and losses of a step, the engine."""
