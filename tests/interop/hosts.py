"""Two hosts of a test's own: network namespaces with a wire between them.

What is started within ``with host:`` lives there: its sockets, its threads, its child processes. So
a daemon can be given addresses that are not its own, at ports that are those of the real world, and
nothing leaves the machine.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.harness import NotThere, program

_CLONE_NEWNET = 0x40000000  # sched.h
_PREFIX = 24
_libc = ctypes.CDLL(None, use_errno=True)


class TestHost:
    """A network namespace of this process's, there for as long as it is open."""

    __test__ = False  # for pytest

    def __init__(self) -> None:
        before = _namespace()
        if _libc.unshare(_CLONE_NEWNET):
            os.close(before)
            raise NotThere(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        self.fd = _namespace()
        try:
            _ip("link", "set", "lo", "up")
        finally:
            _enter(before)
            os.close(before)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is on that host."""
        before = _namespace()
        _enter(self.fd)
        try:
            yield
        finally:
            _enter(before)
            os.close(before)

    def close(self) -> None:
        os.close(self.fd)


def connect(
    one: TestHost, addresses: Sequence[str], other: TestHost, others: Sequence[str]
) -> None:
    """A wire between two hosts, and their addresses on it, all of one network."""
    with one.entered():
        _ip("link", "add", "wire", "type", "veth", "peer", "name", "other")
        _ip("link", "set", "other", "netns", f"/proc/{os.getpid()}/fd/{other.fd}")
        _up("wire", addresses)
    with other.entered():
        _up("other", others)


def _up(name: str, addresses: Sequence[str]) -> None:
    for address in addresses:
        _ip("addr", "add", f"{address}/{_PREFIX}", "dev", name)
    _ip("link", "set", name, "up")


def _ip(*words: str) -> None:
    done = subprocess.run([program("ip"), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotThere(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _enter(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
