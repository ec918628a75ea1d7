"""Why a message waits, when it goes, and who said so: the answer to the question, as plain values.

The reason is not recorded anywhere: it is read off where the message stands at this moment, by the
same objects that hold it there. So an explanation cannot be out of date, and it costs nothing until
somebody asks.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from penstock.mail.envelope import id_text
from penstock.mail.record import key_prefixes
from penstock.mail.waits import BY_FIELD, TEXTS, Wait
from penstock.policy.caps import Cap
from penstock.policy.change import value_text
from penstock.policy.limits import Limits
from penstock.relay.dispatch import Dispatcher
from penstock.relay.gates import Gate
from penstock.relay.lane import Lane
from penstock.relay.note import Note
from penstock.relay.permit import why_waited
from penstock.relay.settle import OutcomeSettler
from penstock.relay.site import Site
from penstock.relay.spool import Spool, Stored

QUEUES_MAX = 20
SEARCHED_MAX = 1000  # deliveries of one domain that are read to find a recipient
COUNTED_MAX = 100_000  # messages ahead in the same line
_FIND_S = 1.0
# Limits that are not counted, but decide how mail goes; shown with who set them.
_PLAIN = (
    "messages_per_connection",
    "recipients_per_transaction",
    "tls",
    "retry_initial_s",
    "retry_max_s",
    "max_age_s",
)


class Reason(NamedTuple):
    """``key``: the limit that binds, as it is counted; ``until``: when it is looked at again, on
    the wall clock, 0 where nobody knows; ``text``: more than the reason's own sentence."""

    wait: Wait
    key: str = ""
    until: float = 0.0
    text: str = ""


class Explainer:
    """One worker's. ``now`` is wall time, ``loop_time`` the loop's."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        settler: OutcomeSettler,
        spool: Spool,
        now: Callable[[], float],
        worker: int,
    ) -> None:
        self._dispatcher, self._settler, self._spool = dispatcher, settler, spool
        self._now, self._worker = now, worker
        self._loop = asyncio.get_running_loop()

    async def message(self, ref: int) -> list[dict[str, Any]] | None:
        """A message with each of its recipients that are still queued; ``ref`` is any of them."""
        refs = self._spool.siblings(ref)[:QUEUES_MAX]
        return [await self._explain(one) for one in refs] if refs else None

    async def queue(
        self, domain: str, tenant: str, campaign: str, recipient: str
    ) -> list[dict[str, Any]]:
        """The queues of a domain, each by the first message in it; with a ``recipient`` the
        messages to that one, of those that were looked through."""
        prefixes = key_prefixes(domain)
        if recipient:
            found = await self._search(prefixes, recipient)
            return [await self._explain(ref) for ref in found[:QUEUES_MAX]]
        answers = []
        for key, entries in self._spool.key_counts():
            if not key.startswith(prefixes):
                continue
            lane = self._dispatcher.placing.lane(key)
            if (tenant and lane.key.tenant != tenant) or (
                campaign and lane.key.campaign != campaign
            ):
                continue
            ref = self._first(lane, key)
            if ref is not None:
                answers.append({**await self._explain(ref), "queued": entries})
            if len(answers) >= QUEUES_MAX:
                break
        return answers

    def _first(self, lane: Lane, key: bytes) -> int | None:
        """The delivery of a lane that goes first, as far as that can be told cheaply."""
        for site in lane.sites():
            for ref in site.ready.refs(lane.number):
                if self._spool.exists(ref):
                    return ref
        return next(self._spool.refs_of(key.__eq__), None)

    async def _search(self, prefixes: tuple[bytes, ...], recipient: str) -> list[int]:
        refs = list(
            itertools.islice(
                self._spool.refs_of(lambda key: key.startswith(prefixes)), SEARCHED_MAX
            )
        )
        stored = await self._heads(refs)
        wanted = recipient.lower()
        return [
            ref
            for ref, one in zip(refs, stored, strict=True)
            if one is not None and one.recipient.address.lower() == wanted
        ]

    async def _heads(self, refs: Sequence[int]) -> list[Stored | None]:
        return await self._loop.run_in_executor(None, self._spool.read_heads, refs)

    async def _explain(self, ref: int) -> dict[str, Any]:
        lane = self._dispatcher.lane_of(ref)
        if lane.destination is None and lane.provider is None:
            await self._identify(lane)
        (stored,) = await self._heads([ref])
        reason, site = self.reason(ref)
        note = Note.unpack(stored.note) if stored is not None else Note()
        limits, caps = self._caps(lane, site, ref)
        binding = next((cap for cap in caps if cap.key == reason.key), None)
        placing, key = self._dispatcher.placing, lane.key
        policies = placing.policies
        class_, class_where = policies.resolve_class(key.tenant, key.class_)
        pool, pool_where = policies.resolve_pool(key.tenant, class_, key.pool)
        rules = placing.rules.matching(lane)
        binds = None
        if binding is not None:
            binds = {**_row(binding, True), "until": reason.until}
        elif rules and reason.wait in (Wait.SUSPENDED, Wait.BOUNCING):
            rule = lane.held or rules[0]
            binds = {
                "scope": f"order {rule.id}",
                "field": rule.verb,
                "value": " ".join(f"{name}={value}" for name, value in rule.selector.items()),
                "where": f"{rule.who or 'an operator'}: {rule.reason}".rstrip(": "),
                "until": rule.until,
            }
        return {
            "id": stored.envelope.id if stored is not None else id_text(self._spool.message(ref)),
            "recipient": stored.recipient.address if stored is not None else "",
            "sender": stored.envelope.sender if stored is not None else "",
            "state": _state(reason.wait),
            "reason": reason.wait.value,
            "reason_text": reason.text or TEXTS[reason.wait],
            "binds": binds,
            "next_attempt": self._next_attempt(ref, reason),
            "queue": {
                "domain": key.domain,
                "tenant": key.tenant,
                "campaign": key.campaign,
                "class": class_,
                "pool": pool,
            },
            "class_where": str(class_where),
            "pool_where": str(pool_where),
            "source": site.source
            if site is not None
            else self._dispatcher.placing.source_of(lane, ref),
            "provider": lane.provider or "",
            "site": lane.site_name,
            "position": self._position(lane, site, ref),
            "attempts": self._spool.attempts(ref),
            "due": self._spool.due(ref),
            "expires": self._spool.expires(ref),
            "accepted_at": self._spool.created(ref),
            "last_replies": _replies(note, lane, site),
            "caps": [_row(cap, cap is binding) for cap in caps] + _plain(limits),
            "rules": [rule.row() for rule in rules],
            "worker": self._worker,
        }

    async def _identify(self, lane: Lane) -> None:
        """Mail that waits for its time may have no destination yet; its limits depend on it."""
        try:
            async with asyncio.timeout(_FIND_S):
                await self._dispatcher.locator.place(lane)
        except TimeoutError:
            pass

    # why

    def reason(self, ref: int) -> tuple[Reason, Site | None]:
        """The first thing that stands between this delivery and the wire, and where it stands."""
        dispatcher = self._dispatcher
        lane = dispatcher.lane_of(ref)
        if ref in self._settler.reporting:
            return Reason(Wait.REPORTING), lane.site
        if ref in dispatcher.in_flight:
            return Reason(Wait.IN_FLIGHT), lane.site
        if dispatcher.stopping:
            return Reason(Wait.STOPPING), None
        due = self._spool.due(ref)
        site = lane.site_of(self._dispatcher.placing.source_of(lane, ref))
        if due > self._now():
            wait = Wait.RETRY if self._spool.attempts(ref) else Wait.SCHEDULED
            return Reason(wait, "", due), site
        return self.of_lane(lane, site), site

    def of_lane(self, lane: Lane, site: Site | None) -> Reason:
        """Why what is due of the lane waits, at ``site`` where it stands there already."""
        dispatcher = self._dispatcher
        rule = lane.held
        if rule is None and site is not None:
            rule = dispatcher.placing.rules.held(lane, site.source)
        if rule is not None:
            wait = Wait.BOUNCING if rule.verb == "bounce" else Wait.SUSPENDED
            return Reason(wait, "", rule.until)
        if lane.destination is None:
            if lane.blocked_until > self._loop.time():
                return Reason(Wait.DNS_FAILED, "", self._wall(lane.blocked_until))
            return Reason(Wait.RESOLVING)
        if lane.way is None or not lane.way.sources:
            return Reason(Wait.SOURCE_DOWN, "", 0.0, self._no_source(lane))
        return Reason(Wait.TURN) if site is None else self._at_site(site, lane)

    def _at_site(self, site: Site, lane: Lane) -> Reason:
        dispatcher = self._dispatcher
        node = site.ready.sleeping(lane.number)
        if node is not None:
            asleep = site.asleep.get(node)
            if asleep is not None and asleep.gate is not None:
                return self._gated(asleep.gate)
        if site.gate is not None:
            return self._gated(site.gate)
        if site.pause is not None and not site.feeds:
            return Reason(Wait.UNREACHABLE, "", self._wall(site.paused_until))
        if not site.feeds or len(site.idle) == 0:
            if site.connecting is not None and site.connecting.gate is not None:
                return self._gated(site.connecting.gate)
            if site in dispatcher.starved and not site.feeds:
                return Reason(Wait.WORKER_CONNECTIONS)
            if site.opening and not site.feeds:
                return Reason(Wait.CONNECTING)
        if site.reading and not site.staged:
            return Reason(Wait.READING)
        return Reason(Wait.TURN)

    def _gated(self, gate: Gate) -> Reason:
        """Its key says what is waited for."""
        at = self._wall(gate.until)
        if gate.seats:
            return Reason(Wait.CONNECTION_LIMIT, gate.key, at)
        wait = why_waited(gate.key)
        text = f"{TEXTS[wait]}: {gate.key[7:]}" if wait is Wait.WINDOW else ""
        return Reason(wait, gate.key, at, text)

    def _no_source(self, lane: Lane) -> str:
        placing = self._dispatcher.placing
        pool = placing.policies.pools[placing.book.known(placing.rules.pool(lane)) or lane.pool]
        reasons = "; ".join(
            f"{name}: {placing.book.why_out(name, lane.provider or '')}" for name in pool.sources
        )
        return f"{TEXTS[Wait.SOURCE_DOWN]} (pool {pool.name}: {reasons})"

    # where

    def _position(self, lane: Lane, site: Site | None, ref: int) -> int | None:
        """How many of the same lane go before it."""
        if site is None:
            return None
        refs = itertools.islice(site.ready.refs(lane.number), COUNTED_MAX)
        return next((number for number, one in enumerate(refs) if one == ref), None)

    def _next_attempt(self, ref: int, reason: Reason) -> float:
        if reason.wait in (Wait.IN_FLIGHT, Wait.REPORTING, Wait.STOPPING):
            return 0.0
        if reason.until:
            return reason.until
        return self._now() if reason.wait in (Wait.TURN, Wait.READING, Wait.CONNECTING) else 0.0

    def _caps(self, lane: Lane, site: Site | None, ref: int) -> tuple[Limits | None, list[Cap]]:
        """All limits on the way of the lane's mail, the site's and its own."""
        destination, key = lane.destination, lane.key
        policies = self._dispatcher.placing.policies
        if destination is None:
            return lane.limits, []
        source = site.source if site is not None else self._dispatcher.placing.source_of(lane, ref)
        own = policies.lane_caps(
            destination.provider,
            destination.site,
            key.domain,
            source,
            key.tenant,
            key.campaign,
            lane.class_,
        )
        if site is not None:
            return site.limits, [*site.caps, *own]
        caps = policies.site_caps(destination.provider, destination.site, key.domain, source)
        return lane.limits, [*caps, *own]

    def _wall(self, loop_time: float) -> float:
        return self._now() + loop_time - self._loop.time()


def _state(wait: Wait) -> str:
    if wait in (Wait.IN_FLIGHT, Wait.REPORTING):
        return "in-flight"
    if wait in (Wait.RETRY, Wait.SCHEDULED):
        return "scheduled"
    return "ready" if wait in (Wait.TURN, Wait.READING, Wait.CONNECTING) else "waiting"


def _row(cap: Cap, binds: bool) -> dict[str, Any]:
    return {
        "scope": cap.scope,
        "field": cap.field,
        "value": value_text(cap.value),
        "where": str(cap.where),
        "key": cap.key,
        "binds": binds,
        "wait": BY_FIELD[cap.field].value,
    }


def _plain(limits: Limits | None) -> list[dict[str, Any]]:
    if limits is None:
        return []
    return [
        {
            "scope": "",
            "field": name,
            "value": value_text(getattr(limits, name)),
            "where": str(limits.where(name)),
            "key": "",
            "binds": False,
        }
        for name in _PLAIN
    ]


def _replies(note: Note, lane: Lane, site: Site | None) -> list[dict[str, Any]]:
    """The last answers: to this delivery, then to those that found its site or domain dead."""
    rows = []
    if note.reply:
        rows.append({"reply": note.reply, "host": note.host})
    for failure in (site.last_failure if site is not None else None, lane.last_failure):
        if failure is not None:
            rows.append({"reply": str(failure.reply), "host": failure.host or failure.address})
    return rows
