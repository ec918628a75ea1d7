"""Who asks, and what they may: decided before a request's body is read.

``needs("read")`` is what a route declares; the route class (:mod:`penstock.api.routing`) checks it
before anything else of the request is looked at.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from fastapi import Depends, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from penstock.api.charges import NO_LIMITS, KeyLimits
from penstock.api.keys import SCOPES, ScopeName
from penstock.api.problem import Problem

CALLER: Final = "penstock.caller"


class Caller(NamedTuple):
    """``key``: its id, empty for the Unix socket and for the sandbox without one; ``tenant``: whose
    things it sees, empty for all; ``client``: an address, or ``unix``."""

    key: str
    tenant: str
    scopes: frozenset[str]
    client: str
    limits: KeyLimits = NO_LIMITS
    request_bytes_max: int = 0

    def tenant_of(self, asked: str) -> str:
        """The tenant that a request is about which names ``asked``, or none; raises a 403 where
        that is another's."""
        if self.tenant and asked and asked != self.tenant:
            raise Problem(403, "other-tenant", f'This key is for the tenant "{self.tenant}" alone.')
        return asked or self.tenant


class Access(Protocol):
    """How a listener finds out."""

    async def admit(self, scope: Scope) -> Caller:
        """Raises a :class:`~penstock.api.problem.Problem` for whoever may not be here, or not so
        often."""
        ...


class OpenAccess:
    """Whoever can connect may do all: for the Unix socket, which its mode protects."""

    _ANYBODY = Caller("", "", frozenset(SCOPES), "unix")

    async def admit(self, scope: Scope) -> Caller:
        return self._ANYBODY


class Needs(SecurityBase):
    """A dependency: the caller, who has ``scope``."""

    def __init__(self, scope: ScopeName) -> None:
        self.model = HTTPBearer(description="A key, as `penstock key create` shows it once.")
        self.scheme_name = "key"
        self.scope: ScopeName = scope

    async def __call__(self, request: Request) -> Caller:
        return self.check(request.scope)

    def check(self, scope: Scope) -> Caller:
        caller: Caller = scope[CALLER]
        if self.scope not in caller.scopes:
            has = ", ".join(one for one in SCOPES if one in caller.scopes) or "none"
            raise Problem(
                403, "scope-missing", f'This needs the scope "{self.scope}"; the key has: {has}.'
            )
        return caller


_NEEDS: Final = {scope: Needs(scope) for scope in SCOPES}


def needs(scope: ScopeName) -> Needs:
    """``caller: Annotated[Caller, Depends(needs("read"))]``."""
    return _NEEDS[scope]


__all__ = [
    "CALLER",
    "SCOPES",
    "Access",
    "Caller",
    "Depends",
    "Needs",
    "OpenAccess",
    "ScopeName",
    "needs",
]
