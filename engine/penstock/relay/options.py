"""How a connection is to be made and used: everything that policy and configuration decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TlsMode = Literal["opportunistic", "required", "none"]
Family = Literal["prefer-ipv4", "prefer-ipv6", "ipv4", "ipv6"]


@dataclass(frozen=True, slots=True)
class ConnectOptions:
    """Times in seconds, each for one reply as a whole, however slowly its bytes drip in.

    ``ehlo``: our name. ``source_ipv4``, ``source_ipv6``: local addresses to bind; where only one is
    given, hosts are reached by that family only. ``command_timeout_s``: banner, EHLO, MAIL, RCPT,
    DATA, RSET; ``data_timeout_s``: progress of writing content; ``final_timeout_s``: the reply to
    the final dot (RFC 5321 section 4.5.3.2 asks for 5, 3 and 10 minutes). ``prefetch``: send the
    next transaction's commands along with this one's content. ``addresses_max``: tried before
    giving up.
    """

    ehlo: str
    source_ipv4: str = ""
    source_ipv6: str = ""
    family: Family = "prefer-ipv4"
    tls: TlsMode = "opportunistic"
    messages_per_connection: int = 100
    prefetch: bool = True
    addresses_max: int = 6
    connect_timeout_s: float = 60.0
    command_timeout_s: float = 300.0
    data_timeout_s: float = 180.0
    final_timeout_s: float = 600.0
    tls_timeout_s: float = 30.0
    quit_timeout_s: float = 5.0
