"""Which endpoints want an event: by its tenant and its type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import msgspec

from penstock.events.records import INTERNAL, AnyEvent
from penstock.webhooks.config import ALL_TENANTS, Endpoint


class Head(msgspec.Struct, gc=False):
    """As much of a line of the log as it takes to know who wants it."""

    type: str
    at: str
    tenant: str = ""


_decode = msgspec.json.Decoder(Head).decode


def read_head(line: bytes) -> Head | None:
    """``None`` for a line that is no event."""
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return None


class Wanted:
    """Looked up once for each tenant and type, then remembered: the table has as many entries as
    there are tenants with endpoints, and one for all others, for each type."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._endpoints = tuple(endpoints)
        self._tenants = {one.tenant for one in self._endpoints}
        self._found: defaultdict[str, dict[type, tuple[str, ...]]] = defaultdict(dict)

    def by(self, event: AnyEvent) -> Sequence[str]:
        """The names of the endpoints that want ``event``."""
        tenant = getattr(event, "tenant", "")
        found = self._found[tenant if tenant in self._tenants else ""]
        kind = type(event)
        if kind not in found:
            found[kind] = self._find(tenant, str(event.__struct_config__.tag))
        return found[kind]

    def _find(self, tenant: str, kind: str) -> tuple[str, ...]:
        if kind in INTERNAL:
            return ()
        return tuple(
            one.name
            for one in self._endpoints
            if one.tenant in (tenant, ALL_TENANTS) and (not one.types or kind in one.types)
        )


def wants(endpoint: Endpoint, head: Head, since: str) -> bool:
    """Whether ``endpoint``, which is told nothing older than ``since``, wants the event."""
    return (
        head.at >= since
        and head.type not in INTERNAL
        and endpoint.tenant in (head.tenant, ALL_TENANTS)
        and (not endpoint.types or head.type in endpoint.types)
    )
