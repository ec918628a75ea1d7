"""Limits for a part of the mail: ``[[narrow]]`` by source, tenant or class.

By source alone it is one more layer: other values for what leaves by that source. By tenant or
class it sets caps of their own for that mail, beside those for all: the shop's newsletters may be
held to 10 a minute at a provider without slowing anybody else's. Of several for the same mail the
later layer wins, key by key, and within a layer the one that names a source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from penstock.policy.limits import BUILT_IN, Provenance, TlsMode, TlsVersion
from penstock.policy.merge import Layer

# What can be counted for a part of the mail; anything else is a property of the connection.
COUNTED = (
    "connections",
    "message_rate",
    "byte_rate",
    "provider_connections",
    "provider_message_rate",
    "provider_byte_rate",
)
# What makes connections of their own for a part of the mail.
CONNECTED = ("tls", "tls_min_version")


class NarrowedTls(NamedTuple):
    """What takes the place of a site's ``tls`` and ``tls_min_version``; ``None`` leaves it."""

    tls: TlsMode | None = None
    tls_min_version: TlsVersion | None = None
    tls_where: Provenance = BUILT_IN
    tls_min_version_where: Provenance = BUILT_IN


@dataclass(frozen=True, slots=True)
class Narrow:
    """``provider`` is ``""`` in ``default.toml``; the other names are ``""`` where none is given.
    ``at`` is the table's place."""

    provider: str
    source: str
    tenant: str
    class_: str
    site: str
    domain: str
    layer: Layer
    at: Provenance

    @property
    def whom(self) -> tuple[str, str]:
        """The mail that is counted by itself; nobody's where the source alone is named."""
        return self.tenant, self.class_

    @property
    def scope(self) -> str:
        """For people: ``tenant shop, class bulk, source s1, domain example.org``."""
        named = [
            f"{what} {name}"
            for what, name in (
                ("tenant", self.tenant),
                ("class", self.class_),
                ("source", self.source),
                ("provider", self.provider),
                ("site", self.site),
                ("domain", self.domain),
            )
            if name
        ]
        return ", ".join(named)


class Narrowings:
    """All narrowings of a policy, asked by where mail goes."""

    def __init__(self, narrows: Sequence[Narrow] = ()) -> None:
        self.all = tuple(narrows)
        self.by_source = tuple(one for one in self.all if one.whom == ("", ""))
        self.by_mail = tuple(one for one in self.all if one.whom != ("", ""))
        self.sources = frozenset(one.source for one in self.all if one.source)
        self.sites = frozenset(one.site for one in self.all if one.site)
        self.domains = frozenset(one.domain for one in self.all if one.domain)

    def layers(
        self, provider: str, site: str, domain: str, source: str
    ) -> tuple[list[Layer], list[Layer], list[Layer], list[Layer]]:
        """What the source alone narrows: above the default, the provider, the site, the domain."""
        levels: tuple[list[Layer], ...] = ([], [], [], [])
        for one in self.by_source:
            if source and _matches(one, provider, site, domain, source):
                levels[_level(one)].append(one.layer)
        return levels[0], levels[1], levels[2], levels[3]

    def of_mail(
        self, provider: str, site: str, domain: str, source: str, tenant: str, class_: str
    ) -> Iterator[Narrow]:
        """Those for mail of ``tenant`` and ``class_``, the one that wins last."""
        found = [
            one
            for one in self.by_mail
            if _matches(one, provider, site, domain, source)
            and one.tenant in ("", tenant)
            and one.class_ in ("", class_)
        ]
        found.sort(key=lambda one: (_level(one), bool(one.source)))
        yield from found

    def tls(
        self, provider: str, site: str, domain: str, tenant: str, class_: str
    ) -> NarrowedTls | None:
        """What mail of ``tenant`` and ``class_`` has of TLS, where it is narrowed."""
        values: dict[str, Any] = {}
        for one in self.of_mail(provider, site, domain, "", tenant, class_):
            for name in CONNECTED:
                if name in one.layer.values:
                    values[name] = one.layer.values[name]
                    values[f"{name}_where"] = one.layer.places[name]
        return NarrowedTls(**values) if values else None


def _matches(one: Narrow, provider: str, site: str, domain: str, source: str) -> bool:
    return (
        one.provider in ("", provider)
        and one.source in ("", source)
        and one.site in ("", site)
        and one.domain in ("", domain)
    )


def _level(one: Narrow) -> int:
    if one.domain:
        return 3
    if one.site:
        return 2
    return 1 if one.provider else 0
