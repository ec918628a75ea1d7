"""What routes ask of the process that serves them.

``ports(request)`` is how a route finds them. The daemon's methods are behind one port, ``call``: in
the supervisor it is the daemon's own table, in a worker a question to the supervisor. What only a
worker has, the way into its queue, is ``intake``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, cast

from fastapi import Request

from penstock.api.charges import Charges
from penstock.api.idempotency import Once
from penstock.api.injection import Injector
from penstock.events.metrics import Registry
from penstock.intake.ports import Sink
from penstock.mail.template import TemplateCache
from penstock.policy.policies import Policies
from penstock.settings.models import Settings

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Intake:
    """The way into a worker's queue, ``sink``: ``injector`` makes messages of a call, ``once`` sees
    to it that a call with an ``Idempotency-Key`` is done once; ``templates``: those compiled
    lately."""

    sink: Sink
    injector: Injector
    once: Once
    templates: TemplateCache


@dataclass(frozen=True, slots=True)
class Ports:
    """``call(method, params)`` asks the daemon and raises ``ControlError`` for its refusals;
    ``now`` is the time of day; ``policies`` and ``settings`` give those in force; ``intake`` is
    ``None`` where no mail is taken (in the supervisor)."""

    call: Call
    now: Callable[[], float]
    settings: Callable[[], Settings]
    policies: Callable[[], Policies]
    registry: Registry
    charges: Charges
    intake: Intake | None = None


def ports(request: Request) -> Ports:
    """Those of the application that serves ``request``."""
    return cast(Ports, request.app.state.ports)
