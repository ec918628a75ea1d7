"""OpenSMTPD, its limits on messages and connections raised.

More than 20 connections out are no faster; and what comes last would wait for idle ones to end, by
default for 10 s.
Its queue is not synced to disk, by its own design: it is the only one here that loses mail with the
power.
"""

from __future__ import annotations

import pathlib
import pwd

from bench.harness import NotThere, Program, free_port, greets
from bench.peers import place

USER = "opensmtpd"
_SPOOL = "/var/spool/smtpd"  # compiled in

_CONFIG = """\
smtp limit max-mails 1000000
scheduler limit max-inflight 50000
scheduler limit max-schedule 1000
mta limit max-conn-per-host 20
mta limit max-conn-per-route 20
mta limit max-conn-per-source 500
mta limit max-conn-per-connector 500
mta limit max-conn-per-relay 20
mta limit max-conn-per-domain 500
mta limit session-mail-max 100000
mta limit session-keepalive 1
mta limit session-transaction-delay 0
mta limit conn-delay-host 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
mta limit conn-delay-route 0
mta limit reconn-delay-route 0
mta limit task-hiwat 1000
mta limit task-lowat 500
mta limit task-release 500
{signing}
listen on 127.0.0.1 port {port} hostname mta.example {filter}
action "out" relay helo mta.example host smtp://{sink}
match from any for any action "out"
"""

_SIGNING = """\
filter "dkim" proc-exec "{program} -c relaxed/relaxed -d {domain} -s s1 -k {key}" \
user opensmtpd group opensmtpd
"""
_FILTER = "opensmtpd/usr/libexec/opensmtpd/filter-dkimsign"


def check(signed: bool) -> None:
    place.need_root()
    place.find("opensmtpd/usr/sbin/smtpd", "smtpd")
    if signed and not (place.PEERS / _FILTER).exists():
        raise NotThere("its filter-dkimsign is not there")
    for path in (_SPOOL, "/var/lib/opensmtpd/empty"):
        place.need_directory(path)
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise NotThere(f"there is no user {USER}") from None


class OpenSmtpd:
    def __init__(self, sink: str, domain: str, key: pathlib.Path | None) -> None:
        self.name = "opensmtpd"
        self._sink, self._domain, self._key = sink, domain, key
        self._program: Program | None = None

    def start(self, directory: pathlib.Path) -> list[int]:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        spool = directory / "spool"
        spool.mkdir()
        spool.chmod(0o711)
        signing = attached = ""
        if self._key is not None:
            key = directory / "dkim.pem"
            place.traditional(self._key, key, USER)
            program = place.PEERS / _FILTER
            signing = _SIGNING.format(program=program, domain=self._domain, key=key)
            attached = 'filter "dkim"'
        config = directory / "smtpd.conf"
        config.write_text(
            _CONFIG.format(signing=signing, filter=attached, port=port, sink=self._sink)
        )
        config.chmod(0o600)
        run = directory / "run"
        run.mkdir()
        binary = place.find("opensmtpd/usr/sbin/smtpd", "smtpd")
        command = place.apart(
            directory, {_SPOOL: spool, "/var/run": run}, [binary, "-d", "-f", str(config)]
        )
        self._program = Program("opensmtpd", command, directory / "smtpd.log")
        self._program.wait_for(lambda: greets("127.0.0.1", port), 20, "OpenSMTPD greets")
        return [self._program.pid]

    def stop(self) -> None:
        if self._program is not None and self._program.running:
            self._program.kill()
