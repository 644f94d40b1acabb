"""How many connections this process may hold open: a call beyond that fails before it is made, at each retry anew."""

from __future__ import annotations

import os
import sys

__all__ = ["affordable"]

SPARE = 24
"""Files for everything that is no call: the store, what is written, modules that are still to be loaded."""


def affordable(calls: int) -> tuple[int, int]:
    """How many of `calls` may be in flight at a time, at least 1, and the limit on open files (0: none is known).

    The soft limit is a default that a process may raise up to the hard one, and it is raised as far as needed.
    """
    if sys.platform == "win32":
        return calls, 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _opened() + SPARE + calls
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return calls, 0
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (ValueError, OSError):
            # a system may have a limit of its own below the one it names
            pass
    return max(1, min(calls, soft - _opened() - SPARE)), soft


def _opened() -> int:
    """Files open in this process now."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return 16
