"""The daemon: what ``penstock run`` runs."""

from __future__ import annotations

import os
import socket
import sys

from penstock.daemon.handover import Inheritance, Predecessor
from penstock.daemon.lock import SpoolInUse, hold
from penstock.events.log import configure
from penstock.policy.policies import Policies
from penstock.policy.problem import Problem
from penstock.settings.check import check
from penstock.settings.loader import load_policy_directory, load_settings
from penstock.settings.models import Settings


def run(config_path: str) -> int:
    """Serve until told to stop.

    Exit codes: 0 stopped, 1 cannot run here, 2 the settings are wrong.
    """
    path = os.path.abspath(config_path)
    inheritance = Inheritance.take(os.environ)
    problems = check(path)
    settings = load_settings(path)
    if isinstance(settings, list) or not all(one.warning for one in problems):
        return _wrong(problems, inheritance)
    for warning in problems:
        print(warning, file=sys.stderr)
    policies = load_policy_directory(settings.policies)
    if isinstance(policies, list):
        return _wrong(policies, inheritance)
    configure(settings.log.format, settings.log.level, sys.stdout)
    try:
        lock = _lock(settings, inheritance)
    except SpoolInUse as error:
        return _cannot(str(error), inheritance)
    except OSError as error:
        reason = f"cannot use the spool {settings.spool}: {error.strerror}"
        return _cannot(reason, inheritance)
    try:
        return _serve(path, settings, policies, lock, inheritance)
    finally:
        os.close(lock)


def _lock(settings: Settings, inheritance: Inheritance | None) -> int:
    if inheritance is None:
        return hold(settings.spool, settings.control, _waiting)
    if inheritance.spool != settings.spool:
        raise SpoolInUse("another spool needs a restart, an upgrade keeps the one it has")
    return inheritance.lock


def _serve(
    path: str,
    settings: Settings,
    policies: Policies,
    lock: int,
    inheritance: Inheritance | None,
) -> int:
    # these import more, and only a daemon that will run needs them
    import uvloop

    from penstock.daemon.operations import BadFile
    from penstock.daemon.sockets import (
        BindError,
        ForWorkers,
        by_address,
        inherited,
        listen,
        listen_control,
    )
    from penstock.daemon.supervisor import Supervisor

    handed = inheritance.sockets if inheritance else []
    ready = {**inherited(dict(os.environ), os.getpid()), **by_address(handed)}
    bound: list[socket.socket] = []
    try:
        workers_own = [smtp.listen for smtp in settings.smtp] + [api.listen for api in settings.api]
        for address in [*workers_own, *_http(settings)]:
            bound.append(listen(address, ready))
        collector = {name: listen(at, ready) for name, at in _of_collector(settings).items()}
        control = listen_control(settings.control, handed)
        management = listen_control(settings.api_socket, handed)
    except BindError as error:
        return _cannot(str(error), inheritance)
    smtp, of_workers = len(settings.smtp), len(workers_own)
    listeners = ForWorkers(bound[:smtp], bound[smtp:of_workers])
    http = bound[of_workers:]
    ours = (*bound, *collector.values(), control, management)
    _close([one for one in handed if one not in ours])
    workers = settings.worker_count(len(os.sched_getaffinity(0)))

    async def serve() -> int:
        predecessor = Predecessor(inheritance) if inheritance else None
        supervisor = Supervisor(
            path,
            settings,
            policies,
            listeners,
            http,
            control,
            lock,
            workers,
            predecessor,
            collector,
            management,
        )
        return await supervisor.run()

    try:
        return uvloop.run(serve())
    except BadFile as error:
        return _cannot(str(error), inheritance)
    finally:
        _close([*ours])


def _http(settings: Settings) -> list[str]:
    return [settings.http.listen] if settings.http else []


def _of_collector(settings: Settings) -> dict[str, str]:
    """The addresses that the collector listens on, by what it serves there."""
    page = settings.unsubscribe if settings.events.enabled else None
    return {"unsubscribe": page.listen} if page is not None else {}


def _waiting() -> None:
    print("penstock: waiting for the workers of the last daemon to end", file=sys.stderr)


def _close(sockets: list[socket.socket]) -> None:
    for one in sockets:
        one.close()


def _wrong(problems: list[Problem], inheritance: Inheritance | None) -> int:
    lines = [str(problem) for problem in problems]
    print("\n".join(lines), file=sys.stderr)
    if inheritance is not None:
        inheritance.refuse("the settings are wrong\n" + "\n".join(lines))
    return 2


def _cannot(reason: str, inheritance: Inheritance | None) -> int:
    print(f"penstock: {reason}", file=sys.stderr)
    if inheritance is not None:
        inheritance.refuse(reason)
    return 1
