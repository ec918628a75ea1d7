"""The traffic policy in force: immutable, so that a reload swaps one reference.

Layers, later wins: built-in, ``default.toml``, provider, site, domain, each with what is narrowed
by source after it. Millions of domains share few combinations of tables, so merged limits are kept
per combination and not per domain; caps name their site, and are kept for as many as fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import TypeVar

from penstock.policy import caps, sites
from penstock.policy.caps import Cap
from penstock.policy.egress import BUILT_IN_POOLS, BUILT_IN_SOURCES, DEFAULT, Pool, Source
from penstock.policy.feedback import Feedback, resolve
from penstock.policy.guards import Guard
from penstock.policy.limits import BUILT_IN, OF_PROVIDERS, Limits, Provenance
from penstock.policy.matching import ProviderIndex
from penstock.policy.merge import EMPTY, Layer, merge
from penstock.policy.names import plain_name
from penstock.policy.narrowing import Narrow, NarrowedTls, Narrowings
from penstock.policy.replies import NO_RULES, ReplyRules
from penstock.policy.tenants import (
    ANY,
    BUILT_IN_CLASSES,
    CLASSES,
    TRANSACTIONAL,
    TRIGGERED,
    Campaign,
    MailClass,
    Tenant,
)
from penstock.policy.warmup import Plan
from penstock.policy.window import Window

T = TypeVar("T")
CACHE_ENTRIES_MAX = 4096
SAID = Provenance("message")  # neither a file nor a default: the message says so itself
# What a domain can have of its own at a site, so that it gets connections of its own.
OF_SITES = (
    "connections",
    "connection_rate",
    "message_rate",
    "byte_rate",
    "messages_per_connection",
    "recipients_per_transaction",
    "tls",
    "tls_min_version",
)


@dataclass(frozen=True, slots=True)
class Provider:
    """One file under ``providers/``: plain suffixes and domains, and what its limits set."""

    name: str
    mx: tuple[str, ...]
    domains: tuple[str, ...]
    layer: Layer


@dataclass(frozen=True, slots=True)
class Policies:
    """``sites`` and ``domains`` hold the layers that name one site or domain; ``narrows`` stand in
    the order of their files. Look-ups of any number of threads are safe; every result is
    immutable."""

    default: Layer = EMPTY
    providers: Mapping[str, Provider] = field(default_factory=lambda: MappingProxyType({}))
    sites: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    domains: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    narrows: tuple[Narrow, ...] = ()
    sources: Mapping[str, Source] = field(default_factory=lambda: BUILT_IN_SOURCES)
    pools: Mapping[str, Pool] = field(default_factory=lambda: BUILT_IN_POOLS)
    tenants: Mapping[str, Tenant] = field(default_factory=lambda: MappingProxyType({}))
    classes: Mapping[str, MailClass] = field(default_factory=lambda: BUILT_IN_CLASSES)
    replies: ReplyRules = NO_RULES
    warmups: Mapping[str, Plan] = field(default_factory=lambda: MappingProxyType({}))
    guards: Mapping[str, Guard] = field(default_factory=lambda: MappingProxyType({}))
    _index: ProviderIndex = field(init=False, repr=False, compare=False)
    _narrowings: Narrowings = field(init=False, repr=False, compare=False)
    _floors: Mapping[str, float] = field(init=False, repr=False, compare=False)
    _merged: dict[tuple[str, ...], Limits] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _site_caps: dict[tuple[str, ...], tuple[Cap, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _wide_caps: dict[tuple[str, ...], tuple[Cap, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _lane_caps: dict[tuple[str, ...], tuple[Cap, ...]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        suffixes = {mx: p.name for p in self.providers.values() for mx in p.mx}
        listed = {domain: p.name for p in self.providers.values() for domain in p.domains}
        object.__setattr__(self, "_index", ProviderIndex(suffixes, listed))
        object.__setattr__(self, "_narrowings", Narrowings(self.narrows))
        floors = {name: self.classes[name].floor for name in CLASSES}
        object.__setattr__(self, "_floors", MappingProxyType(floors))

    def provider_of(self, domain: str, mx: Sequence[str]) -> str:
        """The provider that takes mail for ``domain`` with these MX hosts; ``""`` is none."""
        return self._index.provider_of(domain, mx)

    def site_of(self, mx: Sequence[tuple[int, str]]) -> str:
        """The name of the site made of these (preference, host); see ``sites``."""
        return sites.site_of(mx)

    def limits(self, provider: str, site: str, domain: str, source: str = "") -> Limits:
        """The limits for ``domain`` at ``site`` of ``provider``, narrowed by ``source``. Names
        without a table of their own are as good as ``""``."""
        narrow, domain = self._narrowings, plain_name(domain)
        key = (
            provider if provider in self.providers else "",
            site if site in self.sites or site in narrow.sites else "",
            domain if domain in self.domains or domain in narrow.domains else "",
            source if source in narrow.sources else "",
        )
        return _kept(self._merged, key, lambda: self._merge(*key))

    def has_own_site(self, provider: str, site: str, domain: str, source: str = "") -> bool:
        """Whether policy gives ``domain`` connections or rates of its own at ``site``, beside
        those of the other domains there."""
        if not domain:
            return False
        own = self.limits(provider, site, domain, source)
        shared = self.limits(provider, site, "", source)
        if own is shared:
            return False
        return any(getattr(own, name) != getattr(shared, name) for name in OF_SITES)

    def site_caps(self, provider: str, site: str, domain: str, source: str) -> tuple[Cap, ...]:
        """What every message and connection of ``source`` to ``site`` counts against. ``domain`` is
        ``""`` or one that may have limits of its own; it counts for the whole site too."""
        domain = plain_name(domain)
        own = domain if self.has_own_site(provider, site, domain, source) else ""
        key = (provider, site, own, source or DEFAULT)
        return _kept(self._site_caps, key, lambda: tuple(self._of_site(*key)))

    def lane_caps(
        self,
        provider: str,
        site: str,
        domain: str,
        source: str,
        tenant: str,
        campaign: str,
        class_: str,
    ) -> tuple[Cap, ...]:
        """What mail of ``tenant``, ``campaign`` and ``class_`` counts against besides."""
        key: tuple[str, ...] = ("", "", "", "", tenant, campaign, "")
        if self._narrowings.by_mail:
            class_, _ = self.resolve_class(tenant, class_)
            domain, source = plain_name(domain), source or DEFAULT
            key = (provider, site, domain, source, tenant, campaign, class_)
        return _kept(self._lane_caps, key, lambda: tuple(self._of_lane(*key)))

    def tenant(self, name: str) -> Tenant | None:
        """The table for the tenant ``name``, which may be that for any; mail without a tenant has
        none."""
        return (self.tenants.get(name) or self.tenants.get(ANY)) if name else None

    def campaign(self, tenant: str, name: str) -> Campaign | None:
        """The table for a campaign of ``tenant``."""
        found = self.tenant(tenant)
        if found is None or not name:
            return None
        return found.campaigns.get(name) or found.campaigns.get(ANY)

    def feedback(self, tenant: str) -> Feedback:
        """How mail of ``tenant`` (``""``: of none) asks for what comes back."""
        found, common = self.tenants.get(tenant), self.tenants.get(ANY)
        return resolve(found.feedback if found else None, common.feedback if common else None)

    def feedbacks(self) -> Mapping[str, Feedback]:
        """The same for every tenant that has a table, by name."""
        return {name: self.feedback(name) for name in self.tenants}

    def resolve_class(self, tenant: str, class_: str) -> tuple[str, Provenance]:
        """The class of mail that names ``class_`` or none, and who says so."""
        if class_ in self.classes:
            return class_, SAID
        found = self.tenant(tenant)
        if found is not None and found.class_:
            return found.class_, found.where("class")
        return TRIGGERED, BUILT_IN

    def resolve_pool(self, tenant: str, class_: str, pool: str) -> tuple[str, Provenance]:
        """The pool of mail that names ``pool`` or none, and who says so: the message, its tenant,
        its class. A pool that is no longer there counts as none."""
        if pool in self.pools:
            return pool, SAID
        found = self.tenant(tenant)
        if found is not None and found.pool:
            return found.pool, found.where("pool")
        of_class = self.classes[self.resolve_class(tenant, class_)[0]]
        if of_class.pool:
            return of_class.pool, of_class.where("pool")
        return DEFAULT, self.pools[DEFAULT].at

    def narrowed_tls(
        self, provider: str, site: str, domain: str, tenant: str, class_: str
    ) -> NarrowedTls | None:
        """What mail of ``tenant`` and ``class_`` has of TLS beside the limits of its site."""
        if not self._narrowings.by_mail:
            return None
        class_, _ = self.resolve_class(tenant, class_)
        return self._narrowings.tls(provider, site, plain_name(domain), tenant, class_)

    def weights(self, tenant: str, campaign: str) -> tuple[int, int]:
        """What the tenant counts among tenants, and the campaign among its campaigns."""
        whose, what = self.tenant(tenant), self.campaign(tenant, campaign)
        return whose.weight if whose else 1, what.weight if what else 1

    def floors(self) -> Mapping[str, float]:
        """The share of each class that it gets whatever waits above it."""
        return self._floors

    def window(self, tenant: str, campaign: str, class_: str) -> Window | None:
        """When this mail may go; ``None`` is always, as for all transactional mail."""
        return self.window_and_place(tenant, campaign, class_)[0]

    def window_and_place(
        self, tenant: str, campaign: str, class_: str
    ) -> tuple[Window | None, Provenance]:
        """The same, and who set it. The campaign's takes the place of the tenant's."""
        if self.resolve_class(tenant, class_)[0] == TRANSACTIONAL:
            return None, BUILT_IN
        for found in (self.campaign(tenant, campaign), self.tenant(tenant)):
            if found is not None and found.window is not None:
                return found.window, found.where("window")
        return None, BUILT_IN

    def warmup(self, source: str) -> Plan | None:
        """The plan by which ``source`` is warmed; ``None``: it is warm."""
        found = self.sources.get(source)
        return self.warmups.get(found.warmup) if found is not None and found.warmup else None

    def stats(self) -> dict[str, float]:
        return {
            "providers": len(self.providers),
            "sites": len(self.sites),
            "domains": len(self.domains),
            "merged": len(self._merged),
            "merged_max": CACHE_ENTRIES_MAX,
            "caps": len(self._site_caps) + len(self._wide_caps) + len(self._lane_caps),
            "caps_max": 3 * CACHE_ENTRIES_MAX,
            "sources": len(self.sources),
            "tenants": len(self.tenants),
            "reply_rules": len(self.replies),
        }

    def _merge(self, provider: str, site: str, domain: str, source: str) -> Limits:
        narrowed = self._narrowings.layers(provider, site, domain, source)
        layers = (
            self.default,
            self.providers[provider].layer if provider else EMPTY,
            self.sites.get(site, EMPTY),
            self.domains.get(domain, EMPTY),
        )
        limits = merge(
            Limits(), chain(*([layer, *more] for layer, more in zip(layers, narrowed, strict=True)))
        )
        if provider:
            return limits
        # Domains of no provider have nothing in common that a provider's cap or pace could be for.
        nobodys = {**dict.fromkeys(OF_PROVIDERS), "adaptive": "off"}
        return limits.overridden(nobodys, {name: limits.where(name) for name in nobodys})

    def _of_site(self, provider: str, site: str, own: str, source: str) -> Iterator[Cap]:
        shared = self.limits(provider, site, "", source)
        if own:
            yield from caps.of_site(site, source, self.limits(provider, site, own, source), own)
        yield from caps.of_site(site, source, shared)
        # No layer above the provider's can set what counts over all of its sites.
        key = (provider, source)
        yield from _kept(self._wide_caps, key, lambda: tuple(self._of_all_sites(*key)))

    def _of_all_sites(self, provider: str, source: str) -> Iterator[Cap]:
        if provider:
            limits = self.limits(provider, "", "", source)
            yield from caps.of_provider(provider, source, limits)
        known = self.sources.get(source)
        if known is not None:
            yield from caps.of_source(known)

    def _of_lane(
        self,
        provider: str,
        site: str,
        domain: str,
        source: str,
        tenant: str,
        campaign: str,
        class_: str,
    ) -> chain[Cap]:
        whose, what = self.tenant(tenant), self.campaign(tenant, campaign)
        narrows = self._narrowings.of_mail(provider, site, domain, source, tenant, class_)
        return chain(
            caps.of_tenant(whose, tenant) if whose else (),
            caps.of_campaign(what, tenant, campaign) if what else (),
            caps.of_mail(narrows, provider, site, source),
        )


def _kept(cache: dict[tuple[str, ...], T], key: tuple[str, ...], make: Callable[[], T]) -> T:
    found = cache.get(key)
    if found is None:
        found = make()
        if len(cache) >= CACHE_ENTRIES_MAX:
            cache.clear()
        cache[key] = found
    return found
