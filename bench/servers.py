"""The servers that the relay benchmark compares, each behind the same small port."""

from __future__ import annotations

import pathlib
import shutil
from typing import Protocol

from bench import opendkim, postfix
from bench.daemon import Daemon
from bench.harness import NotThere
from bench.load import SENDER

DOMAIN = SENDER.partition("@")[2]


class Server(Protocol):
    """A server under test, started in a fresh directory for each round."""

    name: str
    address: str

    def start(self, directory: pathlib.Path) -> list[int]:
        """Returns the process ids whose trees are the server."""

    def stop(self) -> None: ...


class Penstock:
    """Our daemon, its attempt log in a file as an operator has it."""

    def __init__(self, sink: str, workers: int, key: pathlib.Path | None) -> None:
        self.name = "penstock"
        self._sink, self._workers, self._key = sink, workers, key

    def start(self, directory: pathlib.Path) -> list[int]:
        extra = ""
        if self._key is not None:
            extra = f'[[dkim]]\ndomain = "{DOMAIN}"\nselector = "s1"\nkey = "{self._key}"'
        self._daemon = Daemon(directory, self._sink, workers=self._workers, extra=extra)
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


def absent(signed: bool) -> str:
    """What keeps Postfix out of the comparison here; empty if nothing does."""
    try:
        postfix.check()
        if signed:
            opendkim.check()
    except NotThere as error:
        return str(error)
    return ""
