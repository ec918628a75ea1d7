"""What those outside of the engine saw: clients their 250s, hosts the mail, the disk its syncs.

Nothing here asks the engine. Every recipient address is used for one message only, so the address
says which message a copy, a refusal or a report is about.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from penstock.sim.network import Wire

_ID = re.compile(rb"\bid ([0-9a-z]+)")
_MESSAGE_ID = re.compile(rb"(?im)^Message-ID: <([^@>]+)")
_TAG = re.compile(rb"(?im)^X-Sim: (\S+)")
_FINAL = re.compile(rb"(?i)Final-Recipient: *rfc822; *(\S+)\r\nAction: *(\w+)")


@dataclass(slots=True, eq=False)
class Copy:
    """One message that a host has taken. ``doubt``: why the engine cannot know it, ``""`` where it
    was answered 250; ``confirmed``: the event at which the engine was given all of that reply.
    ``life``: of the engine, that sent it over ``wire``."""

    host: str
    keys: tuple[str, ...]
    id: str
    at: float
    life: int
    doubt: str
    wire: Wire
    confirmed: int | None = None


@dataclass(slots=True)
class Accepted:
    """One message for which a client was given 250."""

    tag: str
    id: str
    recipients: tuple[str, ...]
    bounces: bool  # its sender can be told
    at: float


@dataclass(slots=True)
class Life:
    """One life of the engine, from ``at`` to ``until``. ``synced_from``: all that the engine knew
    before this event was durable at its end. ``named``: ids that the next start said may be
    doubled; ``forgotten``: a power cut during the next start took that knowledge."""

    number: int
    at: float
    until: float = 0.0
    end: str = ""
    synced_from: int = 0
    named: frozenset[str] | None = None
    forgotten: bool = False


@dataclass(slots=True)
class Report:
    action: str
    at: float


@dataclass(slots=True)
class Ledger:
    """``now``: virtual time; ``wall``: what clocks on walls show. ``wrong``: what must never be."""

    now: Callable[[], float]
    wall: Callable[[], float]
    events: int = 0
    accepted: dict[str, Accepted] = field(default_factory=dict)
    bodies: dict[str, bytes] = field(default_factory=dict)
    copies: dict[str, list[Copy]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    reports: dict[str, list[Report]] = field(default_factory=dict)
    lives: dict[int, Life] = field(default_factory=dict)
    jumps: list[float] = field(default_factory=list)  # when clocks on walls were set
    sendings: dict[str, list[float]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)

    def event(self) -> int:
        self.events += 1
        return self.events

    def log(self, text: str) -> None:
        self.trace.append(f"{self.now():10.4f} #{self.events} {text}")

    def blame(self, text: str) -> None:
        self.wrong.append(text)
        self.log(f"WRONG: {text}")

    # clients

    def sends(self, tag: str, body: bytes) -> None:
        self.bodies[tag] = body

    def acknowledged(self, tag: str, id: str, recipients: Iterable[str], bounces: bool) -> None:
        self.event()
        self.accepted[tag] = Accepted(tag, id, tuple(recipients), bounces, self.now())
        self.log(f"client: 250 for {tag}, id {id}")

    # hosts

    def refused_for_good(self, address: str, host: str) -> None:
        self.event()
        self.refusals[address] = host
        self.log(f"{host}: 5xx for {address}")

    def took(
        self,
        host: str,
        wire: Wire,
        transaction: int,
        recipients: list[str],
        content: bytes,
        doubt: str,
    ) -> Copy:
        self.event()
        head, _, body = content.partition(b"\r\n\r\n")
        if _TAG.search(head):
            id, keys = self._message(head, body), tuple(recipients)
        else:
            id, keys = self._report(head, body, recipients)
        life = wire.process.number if wire.process is not None else 0
        copy = Copy(host, keys, id, self.now(), life, doubt, wire)
        for key in keys:
            self.copies.setdefault(key, []).append(copy)
        if transaction < len(wire.mails):
            self.sendings.setdefault(host, []).append(wire.mails[transaction])
        else:
            self.blame(f"{host} took a message whose MAIL was never written")
        self.log(f"{host}: took {id} for {' '.join(keys)} {doubt and '(' + doubt + ')'}")
        return copy

    def _message(self, head: bytes, body: bytes) -> str:
        tag, id = _TAG.search(head), _ID.search(head)
        name = tag[1].decode() if tag else "?"
        if self.bodies.get(name) != body:
            self.blame(f"the content of {name} was changed on its way")
        return id[1].decode() if id else "?"

    def _report(
        self, head: bytes, body: bytes, recipients: list[str]
    ) -> tuple[str, tuple[str, ...]]:
        found = _MESSAGE_ID.search(head)
        id = found[1].decode() if found else "?"
        for address, action in _FINAL.findall(body):
            report = Report(action.decode(), self.now())
            self.reports.setdefault(address.decode(), []).append(report)
        return id, tuple(f"report {id} to {address}" for address in recipients)

    def confirmed(self, copy: Copy) -> None:
        copy.confirmed = self.event()
        self.log(f"engine was given the 250 for {copy.id} of {copy.host}")

    # the engine's host

    def born(self, number: int, named: Iterable[str]) -> None:
        self.event()
        self.lives[number] = Life(number, self.now())
        before = [life for life in self.lives.values() if life.named is None and life.end]
        names = frozenset(named)
        for life in before:
            life.named = names
        self.log(f"engine: life {number}, may be doubled: {' '.join(sorted(names)) or 'nothing'}")

    def died(self, number: int, how: str, synced_from: int) -> None:
        self.event()
        life = self.lives.get(number)
        if life is not None:
            life.end, life.synced_from, life.until = how, synced_from, self.now()
        elif how == "power":
            for earlier in self.lives.values():
                earlier.forgotten = earlier.forgotten or earlier.named is None
        self.log(f"engine: life {number} ends: {how}")
