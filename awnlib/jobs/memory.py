"""Keeping the memory that training frees, so that the next step need not ask the kernel for it again."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h of the GNU C library
KEPT_BYTES = 2**31 - 1
GROWTH_BYTES = 2**28


def keep_freed_memory() -> bool:
    """Tell the GNU C library to keep freed blocks in the process; return whether it agreed.

    A training step on a CPU allocates and frees the same large blocks again and again. By default each goes back to the
    kernel, which clears its pages anew. For processes that do little else; the memory is returned when they end.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_TOP_PAD, GROWTH_BYTES))
    agreed = [bool(mallopt(name, value)) for name, value in settings]
    return all(agreed)
