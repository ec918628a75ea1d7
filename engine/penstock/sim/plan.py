"""Everything that a seed decides beforehand: who there is, what is sent, what goes wrong when."""

from __future__ import annotations

import random
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from penstock.policy.limits import Provenance
from penstock.policy.merge import Layer
from penstock.policy.policies import Policies
from penstock.policy.rate import Rate
from penstock.settings.events import EventSettings
from penstock.settings.intake import SmtpSettings
from penstock.settings.models import QueueSettings, Settings
from penstock.settings.outbound import RelaySettings
from penstock.sim.client import Order

TROUBLE_ENDS_S: Final = 50.0
MESSAGE_BYTES_MAX: Final = 160_000
_DAY_S = 86400.0
_SEEN = Provenance("simulation")
_DEATHS = ("kill", "power", "kill amid I/O", "power amid I/O", "kill amid traffic", "stop")
_DISK = ("no space", "write error", "sync error", "no cut", "read error", "slow disk")
KINDS = (*_DEATHS, *_DISK, "no names", "clock forward", "clock back")
_NOTIFY = ("",) * 17 + (" NOTIFY=SUCCESS,FAILURE", " NOTIFY=SUCCESS,FAILURE", " NOTIFY=NEVER")
# events are not simulated: their own tests cut the power between the log and the queue
_BASE = Settings(hostname="engine.example", delivery="live", events=EventSettings(enabled=False))


@dataclass(frozen=True, slots=True)
class Fault:
    """``at_s`` since the start; ``number``: a count, or seconds that it lasts."""

    at_s: float
    kind: str
    number: float


@dataclass(frozen=True, slots=True)
class HostPlan:
    name: str
    address: str
    domains: tuple[str, ...]
    connections: int
    rate: Rate | None


@dataclass(frozen=True, slots=True)
class Plan:
    hosts: tuple[HostPlan, ...]
    clients: tuple[tuple[Order, ...], ...]
    faults: tuple[Fault, ...]
    settings: Settings
    policies: Policies
    max_age_s: float
    connections_max: int
    troubled: float  # the share of conversations in which a host makes trouble
    rough: float  # the share of connections that break or stall
    wall_back_s: float


def draw(seed: int) -> Plan:
    rng = random.Random(seed)
    hosts = _hosts(rng)
    faults = _faults(rng)
    max_age_s = 150.0 if rng.random() < 0.1 else 5 * _DAY_S
    settings = _settings(rng)
    return Plan(
        hosts,
        _clients(rng, [domain for host in hosts for domain in host.domains]),
        faults,
        settings,
        _policies(rng, hosts, max_age_s),
        max_age_s,
        settings.relay.connections_max,
        rng.choice((0.0, 0.3, 0.5)),
        rng.choice((0.0, 0.0, 0.1, 0.3)),
        sum(3600.0 for fault in faults if fault.kind.startswith("clock")),
    )


def _hosts(rng: random.Random) -> tuple[HostPlan, ...]:
    hosts = []
    for number in range(rng.randint(2, 4)):
        name = f"mx{number}.example"
        domains = ("home.example",) if not number else (f"d{number}.example", f"e{number}.example")
        rate = None
        if number and rng.random() < 0.35:
            rate = Rate(rng.randint(2, 10), rng.choice((1.0, 5.0, 20.0)), rng.randint(1, 4))
        hosts.append(HostPlan(name, f"20.0.0.{number + 1}", domains, rng.randint(1, 4), rate))
    return tuple(hosts)


def _clients(rng: random.Random, domains: list[str]) -> tuple[tuple[Order, ...], ...]:
    clients = []
    number = 0
    for _ in range(rng.randint(1, 4)):
        orders = []
        for _ in range(rng.randint(2, 12)):
            number += 1
            domain = rng.choice(domains)
            count = rng.choice((1, 1, 1, 2, 4))
            recipients = tuple(
                ("gone" if rng.random() < 0.08 else "u", _domain(rng, domains, domain))
                for _ in range(count)
            )
            size = rng.choice((50, 500, 3000, 3000, 20_000, 150_000))
            orders.append(
                Order(
                    number,
                    1000.0 + rng.uniform(0.0, TROUBLE_ENDS_S * rng.random()),
                    recipients,
                    rng.random() < 0.1,
                    size,
                    rng.choice(_NOTIFY),
                )
            )
        clients.append(tuple(orders))
    return tuple(clients)


def _domain(rng: random.Random, domains: list[str], usual: str) -> str:
    draw = rng.random()
    if draw < 0.03:
        return "nowhere.example"
    return usual if draw < 0.7 else rng.choice(domains)


def _faults(rng: random.Random) -> tuple[Fault, ...]:
    faults = []
    for _ in range(rng.choice((0, 1, 2, 3, 4, 6))):
        kind = rng.choice(_DEATHS)
        faults.append(Fault(rng.uniform(0.0, TROUBLE_ENDS_S), kind, rng.randint(1, 12)))
    for _ in range(rng.choice((0, 0, 1, 2, 3))):
        kind = rng.choice((*_DISK, "no names"))
        faults.append(Fault(rng.uniform(0.0, TROUBLE_ENDS_S), kind, rng.uniform(0.05, 8.0)))
    draw = rng.random()
    if draw < 0.04:
        faults.append(Fault(rng.uniform(0.0, TROUBLE_ENDS_S), "clock back", 3600.0))
    elif draw < 0.12:
        faults.append(Fault(rng.uniform(0.0, TROUBLE_ENDS_S), "clock forward", 3600.0))
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def _settings(rng: random.Random) -> Settings:
    """Small bounds, smaller than the settings themselves permit, so that they are met."""
    queue = QueueSettings.model_construct(
        **{
            **QueueSettings().model_dump(),
            "segment_bytes": rng.choice((16_384, 200_000, 2_000_000)),
            "cache_bytes": rng.choice((0, 4000, 60_000)),
            "uncommitted_bytes_max": rng.choice((200_000, 400_000)),
            "disk_free_min_bytes": rng.choice((0, 50_000)),
            "inodes_free_min": 10,
            "inflight_slots": 128,
            "compact_bytes_per_s": 1 << 20,
        }
    )
    relay = RelaySettings.model_construct(
        **{
            **RelaySettings().model_dump(),
            "connections_max": rng.choice((2, 6, 20)),
            "stage_messages": rng.choice((1, 4, 64)),
            "stage_bytes_max": rng.choice((10_000, 100_000)),
        }
    )
    update = {"queue": queue, "relay": relay, "smtp": (SmtpSettings(listen="127.0.0.1:25"),)}
    return _BASE.model_copy(update=update)


def _layer(values: dict[str, Any]) -> Layer:
    return Layer(MappingProxyType(values), MappingProxyType(dict.fromkeys(values, _SEEN)))


def _policies(rng: random.Random, hosts: tuple[HostPlan, ...], max_age_s: float) -> Policies:
    default = {
        "tls": "none",
        "messages_per_connection": rng.choice((1, 3, 20)),
        "recipients_per_transaction": rng.choice((1, 3, 100)),
        "idle_timeout_s": rng.choice((1.0, 8.0)),
        "connect_timeout_s": 8.0,
        "command_timeout_s": 20.0,
        "data_timeout_s": 20.0,
        "retry_initial_s": rng.uniform(2.0, 10.0),
        "retry_max_s": 40.0,
        "max_age_s": max_age_s,
    }
    sites = {
        host.name: _layer({"connections": host.connections, "message_rate": host.rate})
        for host in hosts
    }
    return Policies(_layer(default), sites=MappingProxyType(sites))
