"""What can be asked of the daemon, and at which address: one table for the API and its clients.

The routes are made from it and the command line finds its way by it, so neither knows a path that
the other does not. It says of each method how far a key with a tenant gets with it:

============  ======================================================================================
``own``       everything that is asked and answered is narrowed to the tenant of the key
``any``       nobody's in particular: any key may
``whole``     about the whole daemon: a key with a tenant is refused
============  ======================================================================================

This module imports next to nothing: the command line loads it at every start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

PREFIX = "/api/v1"
READ, ADMIN = "read", "admin"
OWN, ANY, WHOLE = "own", "any", "whole"
OPERATION_VERBS = ("suspend", "bounce", "reroute", "retry", "expire")


class Method(NamedTuple):
    """``path``: beneath ``PREFIX``, with names of parameters in braces; ``scope``: what a key
    needs; ``tenants``: see above; ``local``: over the Unix socket alone; ``fixed``: goes with what
    is asked, since several methods have one address; ``body``: what is sent is no JSON object."""

    verb: str
    path: str
    scope: str
    tenants: str
    local: bool = False
    fixed: Mapping[str, str] = {}
    body: bool = False


METHODS: dict[str, Method] = {
    # the daemon
    "status": Method("GET", "/daemon", READ, WHOLE),
    "metrics": Method("GET", "/metrics", READ, WHOLE),
    "top": Method("GET", "/top", READ, WHOLE),
    "reload": Method("POST", "/policies/reload", ADMIN, WHOLE),
    "upgrade": Method("POST", "/upgrade", ADMIN, WHOLE, local=True),
    # who may use this
    "keys.list": Method("GET", "/keys", ADMIN, OWN),
    "keys.create": Method("POST", "/keys", ADMIN, OWN),
    "keys.revoke": Method("DELETE", "/keys/{id}", ADMIN, OWN),
    # the queue
    "queue.list": Method("GET", "/queue", READ, OWN),
    "queue.show": Method("GET", "/queue/{id}", READ, OWN),
    "explain": Method("GET", "/explain", READ, OWN),
    "queue.operations": Method("GET", "/operations", READ, OWN),
    "operations.show": Method("GET", "/operations/{id}", READ, OWN),
    **{
        f"queue.{verb}": Method("POST", "/operations", ADMIN, OWN, fixed={"verb": verb})
        for verb in OPERATION_VERBS
    },
    "queue.resume": Method("POST", "/operations/resume", ADMIN, OWN),
    "queue.cancel": Method("DELETE", "/operations/{id}", ADMIN, OWN),
    # what became of the mail
    "stats": Method("GET", "/statistics", READ, OWN),
    "guards": Method("GET", "/guards", READ, OWN),
    "bounces.unmatched": Method("GET", "/bounces/unmatched", READ, WHOLE),
    "classify.replies": Method("POST", "/classify/replies", READ, ANY),
    "classify.report": Method("POST", "/classify/report", READ, ANY, body=True),
    "events.list": Method("GET", "/events", READ, OWN),
    "events.stream": Method("GET", "/events/stream", READ, OWN),
    # policies
    "policies.show": Method("GET", "/policies", READ, WHOLE),
    "policies.check": Method("GET", "/policies/check", READ, WHOLE),
    "policies.replay": Method("POST", "/policies/replay", READ, WHOLE, body=True),
    "providers": Method("GET", "/providers", READ, WHOLE),
    "sources": Method("GET", "/sources", READ, WHOLE),
    "pools": Method("GET", "/pools", READ, WHOLE),
    "dkim.records": Method("GET", "/dkim/records", READ, WHOLE),
    # warming up
    "warmup.show": Method("GET", "/warmup", READ, WHOLE),
    **{
        f"warmup.{verb}": Method("POST", f"/warmup/{{source}}/{verb}", ADMIN, WHOLE)
        for verb in ("start", "hold", "resume", "set", "complained")
    },
    # TLS to other domains
    "tls.show": Method("GET", "/tls/domains/{domain}", READ, WHOLE),
    "tls.report": Method("GET", "/tls/reports", READ, WHOLE),
    "tls.send": Method("POST", "/tls/reports/send", ADMIN, WHOLE),
    # webhooks
    "webhooks.list": Method("GET", "/webhooks", READ, OWN),
    **{
        f"webhooks.{verb}": Method("POST", f"/webhooks/{{name}}/{verb}", ADMIN, OWN)
        for verb in ("test", "enable", "replay")
    },
    # the suppression list
    "suppression.list": Method("GET", "/suppression", READ, OWN),
    "suppression.add": Method("POST", "/suppression", ADMIN, OWN),
    "suppression.lookup": Method("GET", "/suppression/addresses/{address}", READ, OWN),
    "suppression.remove": Method("DELETE", "/suppression/addresses/{address}", ADMIN, OWN),
    "suppression.statistics": Method("GET", "/suppression/statistics", READ, OWN),
    "suppression.export": Method("GET", "/suppression/export", READ, OWN),
    "suppression.import": Method("POST", "/suppression/import", ADMIN, OWN, body=True),
}


class Asked(NamedTuple):
    """A request as HTTP has it; ``target`` is its path and query."""

    verb: str
    target: str
    body: bytes | None


def request_of(method: str, params: Mapping[str, Any] | None = None) -> Asked:
    """How ``method`` is asked with ``params``. Those in its path are there; the others stand in
    the query of a GET or DELETE, where the fields of a selector stand by themselves, and in a JSON
    object of a POST. ``None`` is not sent."""
    found = METHODS[method]
    rest = {name: value for name, value in (params or {}).items() if value is not None}
    path = PREFIX + found.path
    for name in _names(found.path):
        path = path.replace(f"{{{name}}}", quote(str(rest.pop(name, "")), safe=""))
    if found.verb in ("GET", "DELETE") or found.body:
        query = urlencode(_flat(rest), doseq=True)
        return Asked(found.verb, f"{path}?{query}" if query else path, None)
    return Asked(found.verb, path, json.dumps({**found.fixed, **rest}).encode())


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _flat(params: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping):
            flat |= value
        elif isinstance(value, bool):
            flat[name] = "true" if value else "false"
        else:
            flat[name] = value
    return flat
