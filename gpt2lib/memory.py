"""What a program's freed memory costs. Built in chapter 10."""

import contextlib
import ctypes

# For long prompts and long runs on Linux: reuse freed memory, instead of having the system clear it again


def keep_freed_memory() -> None:
    """Make glibc reuse freed memory instead of returning it to the OS; does nothing elsewhere.

    It holds for the whole process, so no constructor calls it: whoever runs the process does. Source:
    mallopt(3); -4 is M_MMAP_MAX, -1 is M_TRIM_THRESHOLD.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-4, 0)  # large blocks come from the heap, like small ones
        mallopt(-1, 2**31 - 1)  # which shrinks only if 2 GB at its end are free
