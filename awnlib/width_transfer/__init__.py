"""Width transfer: widths of a network optimised in a cheap setting and used in a costly one.

A width optimiser finds channel counts for a small network, few images or a low resolution (`projection`). The result, a
`vector.WidthVector`, is extrapolated to the network that matters (`extrapolation`), at the MACs which that had before.
`ledger` counts what each search costs.

References
----------
Width Transfer: On the (In)variance of Width Optimization.
"""
