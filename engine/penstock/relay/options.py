"""How a connection is to be made and used: everything that policy and configuration decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Family = Literal["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]
ProxyKind = Literal["haproxy", "socks5"]


@dataclass(frozen=True, slots=True)
class Proxy:
    """What a source's connections leave through. ``host``: an address or a name.

    ``haproxy``: it is told the source's address and the host's in a PROXY header (version 2) and
    connects from the one to the other. ``socks5``: RFC 1928; from which address is its own matter.
    ``user`` and ``password`` (RFC 1929) are for ``socks5`` only.
    """

    kind: ProxyKind
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if any(len(text.encode()) > 255 for text in (self.user, self.password)):
            raise ValueError("a proxy's user name and password have at most 255 bytes")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} proxy {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """Times in seconds, each for one reply as a whole, however slowly its bytes drip in.

    ``ehlo``: our name. ``source_ipv4``, ``source_ipv6``: local addresses to bind, or those of the
    proxy that speaks for us; where only one is given, hosts are reached by that family only.
    ``connect_timeout_s``: until there is a connection, a proxy's part included;
    ``command_timeout_s``: banner, EHLO, MAIL, RCPT, DATA, RSET; ``data_timeout_s``: progress of
    writing content; ``final_timeout_s``: the reply to the final dot (RFC 5321 section 4.5.3.2 asks
    for 5, 3 and 10 minutes). ``prefetch``: send the next transaction's commands along with this
    one's content. ``addresses_max``: tried before giving up.
    """

    ehlo: str
    source_ipv4: str = ""
    source_ipv6: str = ""
    proxy: Proxy | None = None
    family: Family = "prefer-ipv4"
    messages_per_connection: int = 100
    prefetch: bool = True
    addresses_max: int = 6
    connect_timeout_s: float = 60.0
    command_timeout_s: float = 300.0
    data_timeout_s: float = 180.0
    final_timeout_s: float = 600.0
    tls_timeout_s: float = 30.0
    quit_timeout_s: float = 5.0

    def source_for(self, address: str) -> str:
        """The source's address for a host at ``address``; ``""``: none in particular."""
        return self.source_ipv6 if ":" in address else self.source_ipv4

    def seen_from(self, address: str) -> str:
        """What stands for the address that a host at ``address`` sees us come from."""
        source = self.source_for(address)
        return f"{source} {self.proxy}" if self.proxy is not None else source

    @property
    def families(self) -> tuple[int, ...]:
        """4 and 6 in the order to try them, as far as policy and source allow both."""
        wanted = {"ipv4": (4,), "ipv6": (6,), "prefer-ipv6": (6, 4)}.get(self.family, (4, 6))
        has = {4: bool(self.source_ipv4), 6: bool(self.source_ipv6)}
        names_its_source = self.proxy is not None and self.proxy.kind == "haproxy"
        if not any(has.values()) and not names_its_source:
            return wanted
        return tuple(family for family in wanted if has[family])
