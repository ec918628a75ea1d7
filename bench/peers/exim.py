"""Exim: each message is delivered by a process of its own, at once, over a connection of its own.

What was found best: no message logs, a split spool, no look-ups, nothing checked before a message
is taken. (Queueing first and delivering in queue runs was slower.)
"""

from __future__ import annotations

import pathlib
import pwd

from bench.harness import NotThere, Program, free_port, greets
from bench.peers import place

USER = "Debian-exim"
_CONFIG_HOME = "/etc/exim4"  # compiled in; with any other file Exim gives up its rights

_CONFIG = """\
primary_hostname = mta.example
spool_directory = {directory}/spool
log_file_path = {directory}/log/%slog
pid_file_path = {directory}/exim.pid
exim_path = {program}
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
acl_smtp_mail = accept
acl_smtp_rcpt = accept
acl_smtp_data = accept
qualify_domain = mta.example
never_users = root
keep_environment =
timezone = UTC
message_size_limit = 50M
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
smtp_accept_queue_per_connection = 0
smtp_connect_backlog = 200
smtp_accept_reserve = 0
message_logs = false
split_spool_directory = true
host_lookup =
rfc1413_hosts =
dkim_verify_signers =
log_selector = -retry_defer -queue_run -skip_delivery -smtp_confirmation
smtp_check_spool_space = false
check_spool_space = 0
check_spool_inodes = 0
check_log_space = 0
check_log_inodes = 0
begin routers
smarthost:
  driver = manualroute
  domains = *
  transport = remote_smtp
  route_list = * {host}::{hop_port} byname
  self = send
begin transports
remote_smtp:
  driver = smtp
  hosts_avoid_tls = *
  hosts_try_dane =
  hosts_try_prdr =
  connection_max_messages = 500
{signing}
begin retry
* * F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""

_SIGNING = """\
  dkim_domain = {domain}
  dkim_selector = s1
  dkim_private_key = {key}
  dkim_canon = relaxed
"""


def check() -> None:
    place.need_root()
    place.find("exim/usr/sbin/exim4", "exim4")
    place.need_directory(_CONFIG_HOME)
    try:
        pwd.getpwnam(USER)
    except KeyError:
        raise NotThere(f"there is no user {USER}") from None


class Exim:
    def __init__(self, sink: str, domain: str, key: pathlib.Path | None) -> None:
        self.name = "exim"
        self._sink, self._domain, self._key = sink, domain, key
        self._program: Program | None = None

    def start(self, directory: pathlib.Path) -> list[int]:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        home = directory / "etc"
        for path in (directory / "spool", directory / "log", home):
            path.mkdir()
            place.give(path, USER, 0o755)
        signing = ""
        if self._key is not None:
            key = directory / "dkim.pem"
            place.traditional(self._key, key, USER)
            signing = _SIGNING.format(domain=self._domain, key=key)
        host, _, hop_port = self._sink.rpartition(":")
        binary = place.find("exim/usr/sbin/exim4", "exim4")
        text = _CONFIG.format(
            directory=directory,
            program=binary,
            port=port,
            host=host,
            hop_port=hop_port,
            signing=signing,
        )
        config = home / "exim4.conf"
        config.write_text(text)
        place.give(config, "root", 0o644)
        command = place.apart(directory, {_CONFIG_HOME: home}, [binary, "-bdf", "-q30m"])
        self._program = Program("exim", command, directory / "exim.log")
        self._program.wait_for(lambda: greets("127.0.0.1", port), 20, "Exim greets")
        return [self._program.pid]

    def stop(self) -> None:
        if self._program is not None and self._program.running:
            self._program.kill()
