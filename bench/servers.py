"""The servers that the relay benchmark compares, each behind the same small port."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from bench import opendkim, postfix
from bench.daemon import ROOT, Daemon
from bench.harness import NotThere
from bench.load import SENDER
from bench.peers import exim, haraka, naive, opensmtpd
from bench.peers.exim import Exim
from bench.peers.haraka import Haraka
from bench.peers.naive import Naive
from bench.peers.opensmtpd import OpenSmtpd

DOMAIN = SENDER.partition("@")[2]


class Server(Protocol):
    """A server under test, started in a fresh directory for each round."""

    name: str
    address: str

    def start(self, directory: pathlib.Path) -> list[int]:
        """Returns the process ids whose trees are the server."""

    def stop(self) -> None: ...


class Penstock:
    """Our daemon, its attempt log in a file as an operator has it; ``route`` and ``extra`` are more
    of its configuration; ``package`` as of :class:`Daemon`."""

    def __init__(
        self,
        sink: str,
        workers: int,
        key: pathlib.Path | None,
        *,
        name: str = "penstock",
        route: str = "",
        extra: str = "",
        policies: pathlib.Path = ROOT / "policies",
        package: pathlib.Path | None = None,
    ) -> None:
        self.name = name
        self._package = package
        self._policies = policies
        self._sink, self._workers, self._key = sink, workers, key
        self._route, self._extra = route, extra

    def start(self, directory: pathlib.Path) -> list[int]:
        extra = f"{self._extra}\n"
        if self._key is not None:
            extra += f'[[dkim]]\ndomain = "{DOMAIN}"\nselector = "s1"\nkey = "{self._key}"'
        self._daemon = Daemon(
            directory,
            self._sink,
            workers=self._workers,
            policies=self._policies,
            route=self._route,
            extra=extra,
            package=self._package,
        )
        self._daemon.start()
        self.address = f"127.0.0.1:{self._daemon.port}"
        assert self._daemon.program is not None
        return [self._daemon.program.pid]

    def finish(self) -> None:
        """An orderly stop, which runs the exit handlers."""
        self._daemon.stop()

    def stop(self) -> None:
        self._daemon.end()


class PostfixServer:
    """Postfix as a relay at its best; with a key, opendkim beside it signs over a Unix socket."""

    def __init__(self, sink: str, key: pathlib.Path | None) -> None:
        self.name = "postfix" if key is None else "postfix + opendkim"
        self._sink, self._key = sink, key
        self._milter: opendkim.OpenDkim | None = None

    def start(self, directory: pathlib.Path) -> list[int]:
        settings = postfix.relay_settings(self._sink)
        pids = []
        if self._key is not None:
            key = directory / "dkim.pem"
            shutil.copy(self._key, key)
            shutil.chown(key, opendkim.USER)
            self._milter = opendkim.OpenDkim(
                directory / "milter", opendkim.signing(DOMAIN, "s1", key)
            )
            self._milter.start()
            assert self._milter.program is not None
            pids.append(self._milter.program.pid)
            settings |= {"smtpd_milters": self._milter.milter, "milter_default_action": "tempfail"}
        self._postfix = postfix.Postfix(directory, settings)
        self._postfix.start()
        self.address = self._postfix.address
        assert self._postfix.program is not None
        return [*pids, self._postfix.program.pid]

    def stop(self) -> None:
        self._postfix.stop()
        if self._milter is not None:
            self._milter.stop()


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to compare with. ``share``: its messages a round, to our one; about what it takes
    for rounds of equal length. ``make(sink, key)`` and ``check(signed)`` as their names say."""

    share: float
    make: Callable[[str, pathlib.Path | None], Server]
    check: Callable[[bool], None]


def _check_postfix(signed: bool) -> None:
    postfix.check()
    if signed:
        opendkim.check()


PEERS = {
    "postfix": Peer(0.25, PostfixServer, _check_postfix),
    "haraka": Peer(0.2, lambda sink, key: Haraka(sink, DOMAIN, key), lambda _: haraka.check()),
    "naive": Peer(0.2, lambda sink, key: Naive(sink, DOMAIN, key), naive.check),
    "exim": Peer(0.05, lambda sink, key: Exim(sink, DOMAIN, key), lambda _: exim.check()),
    "opensmtpd": Peer(0.1, lambda sink, key: OpenSmtpd(sink, DOMAIN, key), opensmtpd.check),
}


def missing(names: Sequence[str], signed: bool) -> dict[str, str]:
    """Those of these peers that cannot run here, and why."""
    found = {}
    for name in names:
        try:
            PEERS[name].check(signed)
        except NotThere as error:
            found[name] = str(error)
    return found
