"""Which provider a domain belongs to: by its name, or by where its mail goes.

A domain is a provider's if it is listed, or if every one of its MX hosts ends, label by label, with
one of the provider's suffixes: a custom domain hosted at Google is Google. The longest suffix wins
where one provider's lies within another's. A look-up walks the labels of each host through a
dictionary; its cost does not grow with the number of providers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from penstock.policy.names import plain_name


class ProviderIndex:
    """``suffixes`` and ``domains`` lead from plain names to the provider's name."""

    def __init__(self, suffixes: Mapping[str, str], domains: Mapping[str, str]) -> None:
        self._suffixes = dict(suffixes)
        self._domains = dict(domains)

    def provider_of(self, domain: str, mx: Sequence[str]) -> str:
        """The provider's name, ``""`` where there is none."""
        listed = self._domains.get(plain_name(domain))
        if listed is not None:
            return listed
        agreed: Sequence[str] = ()
        for number, host in enumerate(mx):
            claims = self._claims(plain_name(host))
            agreed = claims if number == 0 else [name for name in agreed if name in claims]
            if not agreed:
                return ""
        return agreed[0] if agreed else ""

    def _claims(self, host: str) -> list[str]:
        """The providers that claim ``host``, the longest suffix first."""
        found = []
        for suffix in tails(host):
            provider = self._suffixes.get(suffix)
            if provider is not None and provider not in found:
                found.append(provider)
        return found


def tails(host: str) -> Iterable[str]:
    """``a.b.c`` as ``a.b.c``, ``b.c``, ``c``."""
    while host:
        yield host
        host = host.partition(".")[2]
