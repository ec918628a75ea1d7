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
from penstock.relay.client import Refusal
from penstock.relay.connection import Connection
from penstock.relay.egress import WayOut
from penstock.relay.options import ConnectOptions
from penstock.relay.outbox import Outbox
from penstock.relay.ports import Destination, Host
from penstock.relay.securing import Opener, Wanted
from penstock.relay.tls import TlsMemory
from penstock.smtp.reply import Reply


async def open_connection(
    destination: Destination,
    options: ConnectOptions,
    tls_memory: TlsMemory,
    rng: random.Random,
    clock: Callable[[], float] | None = None,
    way_out: WayOut | None = None,
    wanted: Wanted | None = None,
    outbox: Outbox | None = None,
) -> Connection | Outcome:
    """A connection that is ready for transactions, or why there is none.

    ``clock``: monotonic seconds, the loop's own by default. ``way_out``: shared by connections, it
    remembers the names of proxies. ``wanted``: what TLS it must have. ``outbox``: shared, too. An
    outcome of ``Phase.EGRESS`` says nothing of the destination.
    """
    clock = clock or asyncio.get_running_loop().time
    way_out = way_out or WayOut()
    if destination.via == "sandbox" and options.proxy is not None:
        # nothing may leave the machine; and the source's addresses are the proxy's
        options = replace(options, proxy=None, source_ipv4="", source_ipv6="")
    wanted = wanted or Wanted()
    opener = Opener(options, tls_memory, clock, way_out, wanted)
    shut = {host: refusal for host in destination.hosts if (refusal := opener.refused(host))}
    failures: list[Outcome] = []
    for host, address in targets(destination, options, rng):
        if host in shut:
            continue
        if len(failures) >= options.addresses_max:
            break
        opened = await opener.open(host, address)
        if not isinstance(opened, Refusal):
            return Connection(opened, host.name or address, address, options, clock, outbox)
        failures.append(_failure(opened, host, address))
        if opened.phase is Phase.EGRESS:  # where the way out is broken, it is so for every host
            return failures[-1]
    failures += [_failure(refusal, host, "") for host, refusal in shut.items()]
    if not failures:
        return _no_address(destination, options)
    return next((one for one in failures if one.kind is Kind.DEFERRED), failures[0])


def _failure(refusal: Refusal, host: Host, address: str) -> Outcome:
    kind = Kind.BOUNCED if refusal.reply.permanent else Kind.DEFERRED
    return Outcome(kind, refusal.phase, refusal.reply, host.name or address, address)


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
