"""The traffic policy in force: immutable, so that a reload swaps one reference.

Layers, later wins: built-in, ``default.toml``, provider, site, domain. Millions of domains share
few combinations of tables, so merged limits are kept per combination and not per domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from penstock.policy import sites
from penstock.policy.limits import Limits
from penstock.policy.matching import ProviderIndex
from penstock.policy.merge import EMPTY, Layer, merge
from penstock.policy.names import plain_name

CACHE_ENTRIES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Provider:
    """One file under ``providers/``: plain suffixes and domains, and what its limits set."""

    name: str
    mx: tuple[str, ...]
    domains: tuple[str, ...]
    layer: Layer


@dataclass(frozen=True, slots=True)
class Policies:
    """``sites`` and ``domains`` hold the layers that name one site or domain. Look-ups of any
    number of threads are safe; every result is immutable."""

    default: Layer = EMPTY
    providers: Mapping[str, Provider] = field(default_factory=lambda: MappingProxyType({}))
    sites: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    domains: Mapping[str, Layer] = field(default_factory=lambda: MappingProxyType({}))
    _index: ProviderIndex = field(init=False, repr=False, compare=False)
    _merged: dict[tuple[str, str, str], Limits] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        suffixes = {mx: p.name for p in self.providers.values() for mx in p.mx}
        listed = {domain: p.name for p in self.providers.values() for domain in p.domains}
        object.__setattr__(self, "_index", ProviderIndex(suffixes, listed))

    def provider_of(self, domain: str, mx: Sequence[str]) -> str:
        """The provider that takes mail for ``domain`` with these MX hosts; ``""`` is none."""
        return self._index.provider_of(domain, mx)

    def site_of(self, mx: Sequence[tuple[int, str]]) -> str:
        """The name of the site made of these (preference, host); see ``sites``."""
        return sites.site_of(mx)

    def limits(self, provider: str, site: str, domain: str) -> Limits:
        """The limits for ``domain`` at ``site`` of ``provider``. Names without a table of their own
        are as good as ``""``."""
        domain = plain_name(domain)
        key = (
            provider if provider in self.providers else "",
            site if site in self.sites else "",
            domain if domain in self.domains else "",
        )
        found = self._merged.get(key)
        if found is None:
            found = self._merge(*key)
            if len(self._merged) >= CACHE_ENTRIES_MAX:
                self._merged.clear()
            self._merged[key] = found
        return found

    def stats(self) -> dict[str, float]:
        return {
            "providers": len(self.providers),
            "sites": len(self.sites),
            "domains": len(self.domains),
            "merged": len(self._merged),
            "merged_max": CACHE_ENTRIES_MAX,
        }

    def _merge(self, provider: str, site: str, domain: str) -> Limits:
        layers = [self.default]
        if provider:
            layers.append(self.providers[provider].layer)
        if site:
            layers.append(self.sites[site])
        if domain:
            layers.append(self.domains[domain])
        limits = merge(Limits(), layers)
        if provider:
            return limits
        # Domains of no provider have nothing in common that a provider's cap could be for.
        uncapped = {"provider_connections": None, "provider_message_rate": None}
        return limits.overridden(uncapped, {name: limits.where(name) for name in uncapped})
