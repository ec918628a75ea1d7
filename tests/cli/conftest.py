"""A daemon that is not one: a control socket that answers what the test tells it to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest
from typer.testing import CliRunner

from penstock import cli

_LENGTH = struct.Struct(">I")


class FakeDaemon:
    """``answers``: method -> result, or (code, message) to refuse. ``asked``: what came."""

    def __init__(self, path: str) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while len(data) < 4 or len(data) < 4 + _LENGTH.unpack_from(data)[0]:
            part = connection.recv(65536)
            if not part:
                return
            data += part
        _, number, method, params = msgpack.unpackb(data[4:])
        self.asked.append((method, params))
        result = self.answers[method]
        refused = isinstance(result, tuple)
        frame = msgpack.packb([2 if refused else 1, number, list(result) if refused else result])
        connection.sendall(_LENGTH.pack(len(frame)) + frame)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with settings and policies that are right."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PENSTOCK_CONFIG", raising=False)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "default.toml").write_text("[limits]\nconnections = 3\n")
    (tmp_path / "config.toml").write_text('control = "c.sock"\nspool = "spool"\n')
    return tmp_path


@pytest.fixture
def daemon(here: Path) -> Iterator[FakeDaemon]:
    running = FakeDaemon(str(here / "c.sock"))
    yield running
    running.close()


@pytest.fixture
def penstock(here: Path) -> Callable[..., Any]:
    """``penstock("queue", "list")`` as a shell would; the result has exit_code, stdout, stderr."""

    def call(*arguments: str, input: str | None = None) -> Any:
        wanted = next((word for word in arguments if not word.startswith("-")), "")
        cli._add_groups(wanted)
        result = CliRunner().invoke(cli.app, list(arguments), input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return call
