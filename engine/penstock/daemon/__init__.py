"""The daemon: what ``penstock run`` runs."""

from __future__ import annotations

import os
import socket
import sys

from penstock.daemon.lock import SpoolInUse, hold
from penstock.events.log import configure
from penstock.policy.problem import Problem
from penstock.settings.check import check
from penstock.settings.loader import load_policy_directory, load_settings


def run(config_path: str) -> int:
    """Serve until told to stop.

    Exit codes: 0 stopped, 1 cannot run here, 2 the settings are wrong.
    """
    path = os.path.abspath(config_path)
    problems = check(path)
    settings = load_settings(path)
    if problems or isinstance(settings, list):
        return _wrong(problems)
    policies = load_policy_directory(settings.policies)
    if isinstance(policies, list):
        return _wrong(policies)
    configure(settings.log.format, settings.log.level, sys.stdout)
    try:
        lock = hold(settings.spool, settings.control, _waiting)
    except SpoolInUse as error:
        return _cannot(str(error))
    except OSError as error:
        return _cannot(f"cannot use the spool {settings.spool}: {error.strerror}")
    # these import more, and only a daemon that will run needs them
    import uvloop

    from penstock.daemon.sockets import BindError, inherited, listen
    from penstock.daemon.supervisor import Supervisor

    try:
        passed = inherited(dict(os.environ), os.getpid())
        listeners = [listen(smtp.listen, passed) for smtp in settings.smtp]
        http = [listen(settings.http.listen, passed)] if settings.http else []
    except BindError as error:
        return _cannot(str(error))
    workers = settings.worker_count(len(os.sched_getaffinity(0)))

    async def serve() -> int:
        supervisor = Supervisor(path, settings, policies, listeners, http, lock, workers)
        return await supervisor.run()

    try:
        return uvloop.run(serve())
    finally:
        _close([*listeners, *http])
        os.close(lock)


def _waiting() -> None:
    print("penstock: waiting for the workers of the last daemon to end", file=sys.stderr)


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _wrong(problems: list[Problem]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2


def _cannot(reason: str) -> int:
    print(f"penstock: {reason}", file=sys.stderr)
    return 1
