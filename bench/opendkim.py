"""opendkim as a milter on a Unix socket, to sign or to verify.

Verification needs no DNS: opendkim reads public keys from a file where told to (its own test mode).
"""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Mapping

from bench.harness import NotThere, Program, program

USER = "opendkim"


def check() -> None:
    """Raises :class:`NotThere` with what keeps an opendkim from being started here."""
    program("opendkim")
    if os.geteuid() != 0:
        raise NotThere("opendkim must be started by root")


def signing(domain: str, selector: str, key: pathlib.Path) -> dict[str, str]:
    """To sign whatever local clients send."""
    return {
        "Mode": "s",
        "Domain": domain,
        "Selector": selector,
        "KeyFile": str(key),
        "Canonicalization": "relaxed/relaxed",
        "SignatureAlgorithm": "rsa-sha256",
        "InternalHosts": "127.0.0.0/8",
        "ExternalIgnoreList": "127.0.0.0/8",
    }


def verifying(keys: pathlib.Path, server: str) -> dict[str, str]:
    """To add Authentication-Results; ``keys`` has a line ``name TXT-record`` for each key."""
    return {
        "Mode": "v",
        "TestPublicKeys": str(keys),
        "AuthservID": server,
        "AlwaysAddARHeader": "yes",
        "InternalHosts": "192.0.2.1",
    }


class OpenDkim:
    """One instance; ``milter`` is what Postfix calls it."""

    def __init__(self, directory: pathlib.Path, settings: Mapping[str, str]) -> None:
        check()
        self._directory = directory
        self._settings = settings
        self._socket = directory / "opendkim.sock"
        self.program: Program | None = None

    @property
    def milter(self) -> str:
        return f"unix:{self._socket}"

    def start(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        shutil.chown(self._directory, USER)
        base = {
            "Socket": f"local:{self._socket}",
            "UMask": "000",
            "UserID": USER,
            "Syslog": "no",
            "Background": "no",
            "RequireSafeKeys": "no",
        }
        lines = [f"{name} {value}\n" for name, value in {**base, **self._settings}.items()]
        config = self._directory / "opendkim.conf"
        config.write_text("".join(lines))
        command = [program("opendkim"), "-x", str(config), "-f"]
        self.program = Program("opendkim", command, self._directory / "opendkim.log")
        self.program.wait_for(self._socket.exists, 20, "opendkim makes its socket")

    def stop(self) -> None:
        if self.program is not None and self.program.running:
            self.program.stop(20)

    def __enter__(self) -> OpenDkim:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
