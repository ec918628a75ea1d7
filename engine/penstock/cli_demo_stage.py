"""The demo's stage: a temporary directory with settings, policies and a key, and the real daemon.

Nothing of it touches the user's own spool or ports, and everything is gone afterwards. Delays are
those of a demo: a retry after seconds, not twenty minutes. The fake providers are a little slower
than what the policies allow, so that there is something to see.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import json
import os
import random
import shlex
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.cli_common import CommandError
from penstock.control import ControlError, call_once
from penstock.sim.providers import NAMED

DOMAINS = {
    "gmail": "gmail.com",
    "yahoo": "yahoo.com",
    "microsoft": "outlook.com",
    "mail.ru": "mail.ru",
    "yandex": "yandex.ru",
}
READY_S, STOP_S = 25.0, 12.0
_PORTS = range(30000, 32768)  # just below those of clients, by Linux's default
_SPREAD_S = 16.0  # a provider's share of the mail is delivered in about this time


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is. ``config`` is the daemon's settings file."""

    root: Path
    smtp_port: int
    http_port: int

    @property
    def config(self) -> Path:
        return self.root / "config.toml"

    @property
    def spool(self) -> Path:
        return self.root / "spool"

    @property
    def control(self) -> str:
        return str(self.root / "control.sock")

    @property
    def log(self) -> Path:
        return self.root / "daemon.log"

    @property
    def outputs(self) -> tuple[Path, Path]:
        """What the daemon prints, and what it complains of."""
        return self.log, self.root / "errors"

    @property
    def journal(self) -> Path:
        return self.root / "journal"

    def text(self, path: Path) -> list[str]:
        """The lines of a file, which may not be there."""
        try:
            return path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []


def build_stage(root: Path, messages: int) -> Stage:
    """Write settings, policies and a signing key into ``root``, for a demo of ``messages``."""
    from penstock.mail.dkim_keys import keygen

    smtp_port, http_port = _free_ports(2)
    stage = Stage(root, smtp_port, http_port)
    fd = os.open(root / "demo.pem", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(keygen("ed25519"))
    stage.config.write_text(_CONFIG.format(stage=stage))
    rate = max(10, round(messages / len(DOMAINS) / _SPREAD_S))
    providers = root / "policies" / "providers"
    providers.mkdir(parents=True)
    (root / "policies" / "default.toml").write_text(_DEFAULT_POLICY)
    for profile in NAMED:
        site = ".".join(profile.mx[0].split(".")[1:])
        text = _PROVIDER_POLICY.format(
            mx=json.dumps([f".{site}"]),
            domains=json.dumps(profile.domains),
            rate=rate,
            used_up=profile.messages_per_connection or 100,
        )
        (providers / f"{profile.name}.toml").write_text(text)
    return stage


def world_options(stage: Stage, messages: int) -> str:
    """What the fake providers are told: their limits, and where to keep their journal."""
    rate = max(10, round(messages / len(DOMAINS) / _SPREAD_S))
    changes: dict[str, dict[str, Any]] = {
        "gmail": {"rate_per_s": rate * 1.5, "rate_burst": rate},
        "yahoo": {"rate_per_s": rate * 0.97, "rate_burst": rate},
        "microsoft": {"rate_per_s": rate * 0.9, "rate_burst": rate},
        "mail.ru": {"rate_per_s": rate * 2.0, "grey_share": 0.05, "grey_delay_s": 2.0},
        "yandex": {"rate_per_s": rate * 2.0, "grey_share": 0.1, "grey_delay_s": 2.3},
    }
    changes["mail.ru"]["connections_max"] = 5
    return shlex.join(["--changes", json.dumps(changes), "--journal", str(stage.journal)])


class Daemon:
    """The real daemon as a child process. An async context: whatever happens, it is stopped."""

    def __init__(self, stage: Stage, environment: dict[str, str]) -> None:
        self._stage = stage
        self._environment = {**os.environ, **environment}
        self._process: asyncio.subprocess.Process | None = None
        self.exit_code: int | None = None

    async def __aenter__(self) -> Daemon:
        with contextlib.ExitStack() as files:
            log, errors = (files.enter_context(path.open("wb")) for path in self._stage.outputs)
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "penstock", "run", "--config", str(self._stage.config)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=errors,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the daemon
            )
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def ready(self) -> None:
        """Wait until mail is taken; raises :class:`CommandError` with what the daemon said."""
        assert self._process is not None
        loop = asyncio.get_running_loop()
        until = loop.time() + READY_S
        while loop.time() < until:
            if self._process.returncode is not None:
                break
            with contextlib.suppress(OSError, ControlError):
                if (await self.ask("status"))["ready"]:
                    return
            await asyncio.sleep(0.1)
        said = [line for path in self._stage.outputs for line in self._stage.text(path)[-10:]]
        raise CommandError("\n".join(["the daemon did not get ready", *said]))

    async def ask(self, method: str, params: Any = None) -> Any:
        """One call to the control socket."""
        return await asyncio.to_thread(call_once, self._stage.control, method, params or {}, 10.0)

    async def stop(self) -> None:
        """Orderly, and by force if that takes too long; sets ``exit_code``."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                self.exit_code = await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            self.exit_code = await process.wait()


def entries_in_spool(stage: Stage) -> int:
    """Recipients that the spool holds, read offline after the daemon has stopped."""
    from penstock_queue import RealDisk, check

    shards = glob.glob(os.path.join(glob.escape(str(stage.spool)), "shard-[0-9]*"))
    return sum(check(shard, RealDisk()).live_entries for shard in shards)


def _free_ports(count: int) -> list[int]:
    """Ports that no client's connection is given until the daemon listens on them."""
    free: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            return free
    raise CommandError(f"no two free ports on 127.0.0.1 from {_PORTS[0]} to {_PORTS[-1]}")


_CONFIG = """\
hostname = "localhost"
spool = "{stage.spool}"
policies = "{stage.root}/policies"
control = "{stage.control}"
delivery = "sandbox"
stop_deadline_s = "5s"

[[smtp]]
listen = "127.0.0.1:{stage.smtp_port}"

[http]
listen = "127.0.0.1:{stage.http_port}"

[[dkim]]
domain = "shop.example"
selector = "demo"
key = "{stage.root}/demo.pem"

[relay]
dsn = "none"

[queue]
disk_free_min_bytes = "32 MiB"

[log]
format = "json"
level = "warning"
"""

_DEFAULT_POLICY = """\
[limits]
connections = 10
connection_rate = "unlimited"
message_rate = "200/s"
retry_initial_s = "3s"
retry_factor = 1.5
retry_max_s = "6s"
max_age_s = "1h"
"""

_PROVIDER_POLICY = """\
mx = {mx}
domains = {domains}

[limits]
connections = 8
messages_per_connection = {used_up}
message_rate = "{rate}/s"
"""
