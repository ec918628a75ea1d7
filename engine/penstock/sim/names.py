"""Which names exist in the sandbox, and where they are: a value that passes between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Names:
    """``domains``: domain -> MX host names by preference; ``hosts``: host name -> (address, port);
    ``default``: where every other domain's ``mx.<domain>`` is. Domains under ``.invalid`` do not
    exist (RFC 6761 section 6.4)."""

    domains: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, Address]
    default: Address

    def mx(self, domain: str) -> tuple[str, ...]:
        """The MX host names of ``domain``; empty where it does not exist."""
        name = domain.rstrip(".").lower()
        if name == "invalid" or name.endswith(".invalid"):
            return ()
        return self.domains.get(name) or (f"mx.{name}",)

    def address(self, host: str) -> Address:
        return self.hosts.get(host.rstrip(".").lower(), self.default)

    def as_json(self) -> dict[str, Any]:
        return {
            "domains": {domain: list(names) for domain, names in self.domains.items()},
            "hosts": {name: list(address) for name, address in self.hosts.items()},
            "default": list(self.default),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Names:
        return cls(
            {domain: tuple(names) for domain, names in value["domains"].items()},
            {name: (address, port) for name, (address, port) in value["hosts"].items()},
            (value["default"][0], value["default"][1]),
        )
