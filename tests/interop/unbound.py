"""An unbound with zones of its own, which it validates."""

from __future__ import annotations

import datetime
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence

import dns.dnssec
import dns.zone
from bench.harness import program
from cryptography.hazmat.primitives.asymmetric import ec

_CONFIG = """
server:
  interface: {address}@{port}
  access-control: 0.0.0.0/0 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{home}"
  pidfile: ""
  use-syslog: no
  logfile: ""
  module-config: "validator iterator"
  ede: yes
  val-log-level: 2
  {anchors}
remote-control:
  control-enable: no
{zones}
"""
_ZONE = """
auth-zone:
  name: "{zone}."
  zonefile: "{path}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""


def signed(name: str, text: str) -> tuple[str, str]:
    """The zone's text with its signatures, and its key as a trust anchor."""
    zone = dns.zone.from_text(text, origin=name, relativize=False)
    key = ec.generate_private_key(ec.SECP256R1())
    public = dns.dnssec.make_dnskey(key.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, 257)
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    dns.dnssec.sign_zone(zone, keys=[(key, public)], inception=now - day, expiration=now + day)
    return zone.to_text(relativize=False), f"{name}. DNSKEY {public.to_text()}"


class Unbound:
    """``zones``: texts by name; ``anchors``: lines that say which are signed, and by what."""

    def __init__(
        self,
        home: pathlib.Path,
        address: str,
        port: int,
        zones: Mapping[str, str],
        anchors: Sequence[str],
    ) -> None:
        home.mkdir(exist_ok=True)
        parts = []
        for name, text in zones.items():
            path = home / name
            path.write_text(f"$ORIGIN {name}.\n{text}\n")
            parts.append(_ZONE.format(zone=name, path=path))
        self._log, self._config = home / "log", home / "unbound.conf"
        self._config.write_text(
            _CONFIG.format(
                address=address,
                port=port,
                home=home,
                anchors="\n  ".join(anchors),
                zones="\n".join(parts),
            )
        )

    def __enter__(self) -> Unbound:
        command = [program("unbound"), "-d", "-p", "-c", str(self._config)]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 20.0
        while "start of service" not in self._log.read_text():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        return self

    def __exit__(self, *error: object) -> None:
        os.kill(self._process.pid, signal.SIGTERM)
        self._process.wait(10)
