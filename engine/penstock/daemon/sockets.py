"""The listening sockets: bound once by the supervisor, or handed over, by systemd or a daemon.

Sockets are bound before any worker starts and live as long as the supervisor, so a worker that is
restarted misses no connection. systemd passes them as file descriptors from 3 on
(sd_listen_fds(3)); each is recognised by its address, so their order in ``penstock.socket`` does
not matter.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable
from typing import NamedTuple

_FIRST_FD = 3
BACKLOG = 1024


class ForWorkers(NamedTuple):
    """The sockets that every worker listens on, in the order of the settings."""

    smtp: list[socket.socket]
    api: list[socket.socket]

    def numbers(self) -> dict[str, list[int]]:
        """Their descriptors, by what the workers' greeting calls them."""
        return {
            "listeners": [one.fileno() for one in self.smtp],
            "api": [one.fileno() for one in self.api],
        }

    def all(self) -> list[socket.socket]:
        return [*self.smtp, *self.api]


class BindError(Exception):
    """An address that cannot be listened on; the message says which and why."""


def split_address(text: str) -> tuple[str, int]:
    """``"127.0.0.1:25"`` or ``"[::1]:25"`` as host and port."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def inherited(environ: dict[str, str], pid: int) -> dict[tuple[str, int], socket.socket]:
    """The sockets systemd passed to this process, by address; takes the variables out."""
    count, owner = environ.pop("LISTEN_FDS", "0"), environ.pop("LISTEN_PID", "")
    environ.pop("LISTEN_FDNAMES", None)
    if owner != str(pid):
        return {}
    passed = [socket.socket(fileno=fd) for fd in range(_FIRST_FD, _FIRST_FD + int(count))]
    for one in passed:
        one.set_inheritable(False)
    return by_address(passed)


def listen(address: str, ready: dict[tuple[str, int], socket.socket]) -> socket.socket:
    """A socket that listens on ``address``: one of ``ready`` if it is there, else a new one.

    Raises :class:`BindError`.
    """
    host, port = split_address(address)
    if (host, port) in ready:
        return ready.pop((host, port))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((host, port))
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        hint = ""
        if isinstance(error, PermissionError):
            hint = "; ports under 1024 need CAP_NET_BIND_SERVICE (see systemd/penstock.service)"
        raise BindError(f"cannot listen on {address}: {error.strerror}{hint}") from error
    return bound


def by_address(passed: Iterable[socket.socket]) -> dict[tuple[str, int], socket.socket]:
    """Those for TCP, by their address."""
    found: dict[tuple[str, int], socket.socket] = {}
    for one in passed:
        if one.family in (socket.AF_INET, socket.AF_INET6):
            host, port = one.getsockname()[:2]
            found[host, port] = one
    return found


def listen_control(path: str, passed: Iterable[socket.socket]) -> socket.socket:
    """A Unix socket that listens at ``path``, for this user alone: one of ``passed`` where it is
    there. A leftover of a daemon that died is removed: the spool's lock is held by now, so nobody
    else can be listening there. Raises :class:`BindError`.
    """
    for one in passed:
        if one.family == socket.AF_UNIX and one.getsockname() == path:
            return one
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    old = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        bound.bind(path)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise BindError(f"cannot listen on {path}: {error.strerror or error}") from error
    finally:
        os.umask(old)
    return bound
