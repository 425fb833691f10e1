"""What makes exhibits: a file each, found by name, with `NEEDS`, `Options` and `draw`, or `make` and `layout`."""
