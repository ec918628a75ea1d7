"""The spool's lock: one daemon at a time, from its supervisor to its last worker.

Every worker inherits the descriptor, and so does the supervisor that an upgrade starts. The lock is
free only when all of them are gone, so a new daemon never meets half of an old one: neither its
ports nor its shards.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from collections.abc import Callable

WAIT_S = 15.0
_POLL_S = 0.05


class SpoolInUse(Exception):
    """Another daemon has the spool, or workers of one that died do not end."""


def hold(spool: str, control: str, waiting: Callable[[], None], wait_s: float = WAIT_S) -> int:
    """A descriptor that holds the lock; blocking. Raises :class:`SpoolInUse` and ``OSError``.

    Where a daemon answers at ``control`` it fails at once. Where none does, the workers of one that
    was killed are ending: ``waiting()`` is called, and they are given ``wait_s``.
    """
    os.makedirs(spool, mode=0o700, exist_ok=True)
    descriptor = os.open(os.path.join(spool, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until, told = time.monotonic() + wait_s, False
    try:
        while not _locked(descriptor):
            if _answers(control):
                raise SpoolInUse(f"{spool} is in use by another daemon; stop it first")
            if time.monotonic() > until:
                raise SpoolInUse(
                    f"{spool} is in use, but no daemon answers at {control}: it is starting, or "
                    "workers of one that died do not end"
                )
            if not told:
                told = True
                waiting()
            time.sleep(_POLL_S)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _answers(control: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
        probe.connect(control)
        return True
    return False
