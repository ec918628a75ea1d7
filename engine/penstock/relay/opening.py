"""Which host of a destination answers: tries them in their order until one greets us.

By preference; equal ones in random order, and the addresses of each by family and then in random
order. Whatever goes wrong with one, the next gets its chance: a host that refuses everybody says
nothing about its neighbour. Only where all of those tried say 5xx is that the answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.client import Client, Refusal, greet
from penstock.relay.connection import Connection
from penstock.relay.egress import WayOut
from penstock.relay.options import ConnectOptions
from penstock.relay.ports import Destination, Host
from penstock.relay.resumption import SessionKey
from penstock.relay.tls import TlsMemory
from penstock.smtp.reply import Reply


async def open_connection(
    destination: Destination,
    options: ConnectOptions,
    tls_memory: TlsMemory,
    rng: random.Random,
    clock: Callable[[], float] | None = None,
    way_out: WayOut | None = None,
) -> Connection | Outcome:
    """A connection that is ready for transactions, or why there is none.

    ``clock``: monotonic seconds, the loop's own by default. ``way_out``: shared by connections, it
    remembers the names of proxies. An outcome of ``Phase.EGRESS`` says nothing of the destination.
    """
    clock = clock or asyncio.get_running_loop().time
    way_out = way_out or WayOut()
    if destination.via == "sandbox" and options.proxy is not None:
        # nothing may leave the machine; and the source's addresses are the proxy's
        options = replace(options, proxy=None, source_ipv4="", source_ipv6="")
    failures: list[Outcome] = []
    for host, address in targets(destination, options, rng):
        if len(failures) >= options.addresses_max:
            break
        opened = await _open(host, address, options, tls_memory, clock, way_out)
        if isinstance(opened, Connection) or opened.phase is Phase.EGRESS:
            return opened  # where the way out is broken, it is so for every host
        failures.append(opened)
    if not failures:
        return _no_address(destination, options)
    return next((one for one in failures if one.kind is Kind.DEFERRED), failures[0])


def targets(
    destination: Destination, options: ConnectOptions, rng: random.Random
) -> Iterator[tuple[Host, str]]:
    """Hosts and addresses in the order to try them."""
    shuffled = sorted(destination.hosts, key=lambda host: (host.preference, rng.random()))
    for host in shuffled:
        for family in options.families:
            addresses = [one for one in host.addresses if (":" in one) == (family == 6)]
            rng.shuffle(addresses)
            for address in addresses:
                yield host, address


def _no_address(destination: Destination, options: ConnectOptions) -> Outcome:
    families = " or ".join(f"IPv{family}" for family in options.families)
    text = f"4.4.4 No host of {destination.domain} has an {families} address"
    if not families:
        text = "4.4.4 The source has no address of a family that may be used"
    elif len(options.families) == 1:
        text += ", and no other may be used"
    return Outcome(Kind.DEFERRED, Phase.CONNECT, Reply.of(451, text))


async def _open(
    host: Host,
    address: str,
    options: ConnectOptions,
    tls_memory: TlsMemory,
    clock: Callable[[], float],
    way_out: WayOut,
) -> Connection | Outcome:
    name = host.name or address
    key = f"{name}:{host.port}"
    opportunistic = options.tls == "opportunistic"
    now = clock()
    if options.tls == "required" or (opportunistic and tls_memory.usable(key, now)):
        greeted = await _greet_secure(host, address, options, tls_memory, now, way_out)
    else:
        greeted = await greet(host, address, options, None, way_out)
    if isinstance(greeted, Refusal) and greeted.tls_broken and opportunistic:
        tls_memory.broke(key, clock())
        greeted = await greet(host, address, options, None, way_out)
    if isinstance(greeted, Refusal):
        kind = Kind.BOUNCED if greeted.reply.permanent else Kind.DEFERRED
        return Outcome(kind, greeted.phase, greeted.reply, name, address)
    return Connection(greeted, name, address, options, clock)


async def _greet_secure(
    host: Host,
    address: str,
    options: ConnectOptions,
    tls_memory: TlsMemory,
    now: float,
    way_out: WayOut,
) -> Client | Refusal:
    """Resume the last session of this host, if there is one. Where the handshake breaks over it,
    it is tried without: a peer that cannot resume is no reason to send in the clear."""
    seen_from = options.seen_from(address)
    sessions, key = tls_memory.sessions, SessionKey(options.tls, host.name or address, seen_from)
    context = tls_memory.context(options.tls, seen_from)
    offered = sessions.get(key, now) is not None
    greeted = await greet(host, address, options, context, way_out)
    if offered and isinstance(greeted, Refusal) and greeted.tls_broken:
        sessions.refuse(key, now)
        tls_memory.handshook("failed")
        greeted = await greet(host, address, options, context, way_out)
    if isinstance(greeted, Refusal):
        if greeted.tls_broken:
            tls_memory.handshook("failed")
    elif greeted.tls:
        tls_memory.handshook("resumed" if greeted.resumed else "ok")
        if greeted.session is not None:
            sessions.keep(key, greeted.session, now)
    return greeted
