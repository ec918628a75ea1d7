"""A Postfix of one's own: private configuration, queue and data, in the foreground.

Postfix must be started by root; the system's own instance, if any, is not touched. The base is as
small as runs; who starts one adds what it is for: ``main.cf`` parameters and ``master.cf`` lines.
"""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

from bench.harness import Failed, NotThere, Program, free_port, greets, program

# a service: name, type, chroot, process limit, command; all without chroot
_SERVICES = """\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

# what was found fastest on two cores: few deliveries at once, connections kept, no look-ups
RELAY_AT_ITS_BEST = {
    "default_destination_concurrency_limit": "8",
    "initial_destination_concurrency": "8",
    "smtp_dns_support_level": "disabled",
    "smtpd_peername_lookup": "no",
    "max_use": "100000",
    "local_header_rewrite_clients": "",
    "receive_override_options": "no_address_mappings,no_header_body_checks",
    "smtpd_client_event_limit_exceptions": "127.0.0.0/8",
    "smtputf8_enable": "no",
}


def check() -> None:
    """Raises :class:`NotThere` with what keeps a Postfix from being started here."""
    program("postfix")
    if os.geteuid() != 0:
        raise NotThere("Postfix must be started by root")


def relay_settings(sink: str) -> dict[str, str]:
    """A relay to ``host:port`` in its best configuration."""
    host, _, port = sink.rpartition(":")
    # the cache goes by the name alone: with brackets or a port it would never match
    cached = {"smtp_connection_cache_destinations": host}
    return {"relayhost": f"[{host}]:{port}", **cached, **RELAY_AT_ITS_BEST}


class Postfix:
    """One instance that listens on ``127.0.0.1:port`` (or another ``host``)."""

    def __init__(
        self,
        directory: pathlib.Path,
        settings: Mapping[str, str],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        services: Sequence[str] = (),
    ) -> None:
        check()
        self.host, self.port = host, port or free_port(host)
        self.log = directory / "maillog"
        self._directory = directory
        self._config = directory / "etc"
        self._settings = settings
        self._services = services
        self.program: Program | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> None:
        """Write the configuration and start; returns when it greets."""
        for name in ("etc", "queue", "data"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        shutil.chown(self._directory / "data", "postfix")
        base = {
            "compatibility_level": "3.6",
            "queue_directory": str(self._directory / "queue"),
            "data_directory": str(self._directory / "data"),
            "maillog_file": str(self.log),
            "maillog_file_prefixes": str(self._directory),
            "myhostname": "mx.example",
            "mydestination": "",
            "inet_interfaces": "127.0.0.1",  # any address that exists; master.cf says where
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "alias_maps": "",
            "alias_database": "",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
        }
        lines = [f"{name} = {value}\n" for name, value in {**base, **self._settings}.items()]
        (self._config / "main.cf").write_text("".join(lines))
        listener = f"{self.address} inet n - n - - smtpd\n"
        more = "".join(f"{line}\n" for line in self._services)
        (self._config / "master.cf").write_text(listener + _SERVICES + more)
        command = [program("postfix"), "-c", str(self._config), "start-fg"]
        self.program = Program("postfix", command, self._directory / "postfix.log")
        try:
            self.program.wait_for(
                lambda: greets(self.host, self.port), 30, f"Postfix greets on {self.address}"
            )
        except Failed as error:
            raise Failed(f"{error}\n{self.log_text()[-2000:]}") from None

    def stop(self) -> None:
        if self.program is not None and self.program.running:
            self.program.kill()  # nothing here is worth an orderly end

    def __enter__(self) -> Postfix:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""
