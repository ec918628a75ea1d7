"""An upgrade: the next daemon has the API's sockets, and no client is turned away meanwhile."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading

from tests.api.conftest import ApiDaemon

from penstock.control import call_once

UPGRADE_S = 120.0


class Asking(threading.Thread):
    """Asks on a new connection each time, until it is told to stop."""

    def __init__(self, daemon: ApiDaemon, key: str) -> None:
        super().__init__()
        self._daemon, self._key = daemon, key
        self.stopped = threading.Event()
        self.statuses: list[int] = []
        self.failures: list[str] = []

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                with self._daemon.client(self._key) as client:
                    self.statuses.append(client.get("/api/v1/status").status_code)
            except Exception as error:
                self.failures.append(repr(error))


def test_an_upgrade_turns_nobody_away_and_keeps_the_keys(tmp_path: pathlib.Path) -> None:
    daemon = ApiDaemon(tmp_path, workers=2)
    new = 0
    try:
        daemon.start()
        key = daemon.call("keys.create", scopes=["read"])["secret"]
        asking = Asking(daemon, key)
        asking.start()
        try:
            new = call_once(daemon.control, "upgrade", {}, UPGRADE_S)["pid"]
        finally:
            asking.stopped.set()
            asking.join()
        assert asking.failures == []
        assert set(asking.statuses) == {200}
        assert len(asking.statuses) > 20
        assert daemon.process is not None
        assert daemon.process.wait(20) == 0
        daemon.process = None
        daemon.log.close()
        daemon.until(lambda: daemon.get("/readyz")[0] == 200, "ready")
        assert daemon.call("status")["pid"] == new
        with daemon.client(key) as client:
            assert client.get("/api/v1/status").status_code == 200
    finally:
        if new:
            with contextlib.suppress(ProcessLookupError):
                os.kill(new, signal.SIGTERM)
            daemon.until(lambda: not os.path.exists(daemon.control), "stopped", 30)
        daemon.end()
