"""Why a message waits, when it goes, and who said so: the answer to the question, as plain values.

The reason is not recorded anywhere: it is read off where the message stands at this moment, by the
same objects that hold it there. So an explanation cannot be out of date, and it costs nothing until
somebody asks.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from penstock.mail.envelope import id_text
from penstock.mail.record import BadRecord, key_prefixes, unpack_key
from penstock.mail.verdict import Verdict
from penstock.mail.waits import BY_FIELD, TEXTS, Wait
from penstock.policy.caps import Cap
from penstock.policy.change import value_text
from penstock.policy.limits import Limits
from penstock.relay.dispatch import Dispatcher
from penstock.relay.forecast import Forecast
from penstock.relay.lane import Lane
from penstock.relay.note import Note
from penstock.relay.permit import why_waited
from penstock.relay.reading import Reading
from penstock.relay.reason import Reason, Reasons
from penstock.relay.rules import mail_of
from penstock.relay.settle import OutcomeSettler
from penstock.relay.site import Site
from penstock.relay.spool import Spool, Stored
from penstock.relay.tls_demand import Terms, who_demands
from penstock.relay.ways import FIRST

log = structlog.get_logger("penstock.relay")
QUEUES_MAX = 20
SEARCHED_AT_ONCE = 1000  # deliveries of one domain that are read to find a recipient
SEARCHED_S = 2.0
_FIND_S = 0.05
# Limits that are not counted, but decide how mail goes; shown with who set them.
_PLAIN = (
    "messages_per_connection",
    "recipients_per_transaction",
    "tls",
    "retry_initial_s",
    "retry_max_s",
    "max_age_s",
)


class Explainer:
    """One worker's. ``now`` is wall time, ``loop_time`` the loop's. ``suppressed``: the entry of
    the suppression list that will keep a delivery from being sent."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        settler: OutcomeSettler,
        spool: Spool,
        now: Callable[[], float],
        worker: int,
        reading: Reading,
    ) -> None:
        self._dispatcher, self._spool, self._worker = dispatcher, spool, worker
        self.suppressed: Callable[[Stored], dict[str, Any] | None] = lambda stored: None
        self._reading = reading
        self._loop = asyncio.get_running_loop()
        self._lookups: dict[int, asyncio.Task[None]] = {}
        self._forecast = Forecast(dispatcher, spool, now)
        reasons = Reasons(dispatcher, settler, spool, now)
        self.reason, self.of_lane = reasons.of, reasons.of_lane

    async def message(self, ref: int) -> list[dict[str, Any]] | None:
        """A message with each of its recipients that are still queued; ``ref`` is any of them."""
        refs = self._spool.siblings(ref)[:QUEUES_MAX]
        return await self._all(refs) if refs else None

    async def queue(
        self, domain: str, tenant: str, campaign: str, recipient: str
    ) -> dict[str, Any]:
        """``{"explanations": [...], "more": n}``: the queues of a domain (of all where it is
        empty), each by the first message in it. With a ``recipient`` the messages to that one;
        ``more`` are then those that were not looked through."""
        queues = self._queues(domain, tenant, campaign)
        if recipient:
            refs, more = await self._search(queues, recipient)
            return {"explanations": await self._all(refs), "more": more}
        firsts: dict[int, int] = {}
        for key in itertools.islice(queues, QUEUES_MAX):
            ref = self._first(key)
            if ref is not None:
                firsts[ref] = queues[key]
        found = await self._all(list(firsts), list(firsts.values()))
        return {"explanations": found, "more": max(0, len(queues) - QUEUES_MAX)}

    def _queues(self, domain: str, tenant: str, campaign: str) -> Counter[bytes]:
        """The keys that are asked for, with how much is queued of each."""
        prefixes, found = key_prefixes(domain) if domain else (b"",), Counter[bytes]()
        for key, entries in self._spool.key_counts_of(prefixes):
            whose = unpack_key(key)
            if whose.tenant == (tenant or whose.tenant) and whose.campaign == (
                campaign or whose.campaign
            ):
                found[key] += entries
        return found

    def _first(self, key: bytes) -> int | None:
        """The delivery of a lane that goes first, as far as that can be told cheaply."""
        lane = self._dispatcher.placing.lane(key)
        for site in lane.sites():
            for ref in site.ready.refs(lane.number):
                if self._spool.exists(ref):
                    return ref
        return next(self._spool.refs_of_key(key), None)

    async def _search(self, queues: Iterable[bytes], recipient: str) -> tuple[list[int], int]:
        """Looks through the mail of these queues, for a limited time; also returns how much of it
        was not looked through."""
        found, wanted = list[int](), recipient.lower()
        refs = [ref for key in queues for ref in self._spool.refs_of_key(key)]
        end = self._loop.time() + SEARCHED_S
        for start in range(0, len(refs), SEARCHED_AT_ONCE):
            if len(found) >= QUEUES_MAX or self._loop.time() >= end:
                return found[:QUEUES_MAX], len(refs) - start
            some = refs[start : start + SEARCHED_AT_ONCE]
            for ref, one in zip(some, await self._heads(some), strict=True):
                if one is not None and one.recipient.address.lower() == wanted:
                    found.append(ref)
        return found[:QUEUES_MAX], 0

    async def _heads(self, refs: Sequence[int]) -> list[Stored | None]:
        """A disk that is in trouble takes nothing from an explanation but the message's words."""
        try:
            return await self._loop.run_in_executor(None, self._spool.read_heads, refs)
        except (OSError, BadRecord) as error:
            log.error("the queue cannot be read to explain it", error=str(error))
            return [None] * len(refs)

    async def _all(self, refs: Sequence[int], queued: Sequence[int] = ()) -> list[dict[str, Any]]:
        """Those of them that are still there when it comes to it; with ``queued`` the number of
        deliveries that each stands for."""
        await self._identify([ref for ref in refs if self._spool.exists(ref)])
        stored = await self._heads(refs)
        answers = []
        for number, (ref, one) in enumerate(zip(refs, stored, strict=True)):
            if self._spool.exists(ref):
                answers.append(self._explain(ref, one))
                if queued:
                    answers[-1]["queued"] = queued[number]
        return answers

    async def _identify(self, refs: Iterable[int]) -> None:
        """Mail that waits for its time may have no destination yet; its limits depend on it. Name
        servers that take their time are not waited for: whoever asks again sees what they said.
        Whose domain is being looked up, or waits to be, is left alone."""
        lanes = {lane.number: lane for lane in map(self._dispatcher.lane_of, refs)}
        now = self._loop.time()
        asked = [
            self._place(lane)
            for lane in lanes.values()
            if lane.destination is None and not lane.resolving and lane.blocked_until <= now
        ]
        if asked:
            await asyncio.wait(asked, timeout=_FIND_S)

    def _place(self, lane: Lane) -> asyncio.Task[None]:
        known = self._lookups.get(lane.number)
        if known is None:
            known = asyncio.ensure_future(self._dispatcher.locator.place(lane))
            self._lookups[lane.number] = known
            known.add_done_callback(lambda done: self._placed(lane.number, done))
        return known

    def _placed(self, number: int, done: asyncio.Task[None]) -> None:
        del self._lookups[number]
        if not done.cancelled():
            done.result()

    def _explain(self, ref: int, stored: Stored | None) -> dict[str, Any]:
        lane = self._dispatcher.lane_of(ref)
        reason, site = self.reason(ref)
        note = Note.unpack(stored.note) if stored is not None else Note()
        limits, caps = self._caps(lane, site, ref)
        binding = next((cap for cap in caps if reason.binds(cap)), None)
        placing, key = self._dispatcher.placing, lane.key
        policies = placing.policies
        class_, class_where = policies.resolve_class(key.tenant, key.class_)
        pool, pool_where = policies.resolve_pool(key.tenant, class_, key.pool)
        return {
            "id": stored.envelope.id if stored is not None else id_text(self._spool.message(ref)),
            "recipient": stored.recipient.address if stored is not None else "",
            "sender": stored.envelope.sender if stored is not None else "",
            "state": _state(reason.wait),
            "reason": reason.wait.value,
            "reason_text": reason.text or TEXTS[reason.wait],
            "binds": self._binds(reason, lane, binding),
            "next_attempt": self._forecast.next_attempt(ref, reason, lane, site),
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
            "position": self._forecast.position(lane, site, ref),
            "attempts": self._spool.attempts(ref),
            "due": self._spool.due(ref),
            "expires": self._spool.expires(ref),
            "accepted_at": self._spool.created(ref),
            "last_replies": _replies(note, lane, site, self._reading),
            "caps": [_row(cap, cap is binding) for cap in caps] + _plain(limits, lane.terms),
            "rules": [rule.row() for rule in placing.rules.matching(lane)],
            "worker": self._worker,
            "suppressed": self.suppressed(stored) if stored is not None else None,
        }

    def _binds(self, reason: Reason, lane: Lane, binding: Cap | None) -> dict[str, Any] | None:
        """Whose doing it is that it waits, where it is anybody's."""
        if binding is not None:
            return {**_row(binding, True), "until": reason.until}
        if reason.order is not None:
            rule = reason.order
            where = f"{rule.who or 'an operator'}: {rule.reason}".rstrip(": ")
            selector = " ".join(f"{name}={value}" for name, value in rule.selector.items())
            return _binding(f"order {rule.id}", rule.verb, selector, where, reason.until)
        if reason.wait is Wait.WINDOW:
            policies, key = self._dispatcher.placing.policies, lane.key
            window, place = policies.window_and_place(key.tenant, key.campaign, lane.class_)
            own = policies.campaign(key.tenant, key.campaign)
            whose = f"tenant {key.tenant}"
            if own is not None and own.window is not None:
                whose = f"campaign {key.tenant}/{key.campaign}"
            return _binding(whose, "window", str(window), str(place), reason.until)
        if reason.wait is Wait.WARM_UP:
            return self._binds_warmup(reason, lane)
        if reason.wait is Wait.WORKER_CONNECTIONS:
            most, where = self._dispatcher.config.connections_max, "relay.connections_max"
            return _binding(f"worker {self._worker}", "connections", str(most), where, 0.0)
        return None

    def _binds_warmup(self, reason: Reason, lane: Lane) -> dict[str, Any] | None:
        """Of the sources that its pool may not use yet the one that may go on first."""
        warming, provider = self._dispatcher.warming, lane.provider or ""
        placing = self._dispatcher.placing
        pool = placing.policies.pools[placing.book.known(placing.rules.pool(lane)) or lane.pool]
        for source in pool.sources:
            if warming.until(source, provider, first=mail_of(lane) == FIRST) == reason.until:
                for cap in warming.caps(source, provider):
                    return {**_row(cap, True), "until": reason.until}
        return None

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
        paced = self._dispatcher.paces.caps(source, destination.provider)
        paced += self._dispatcher.warming.caps(source, destination.provider)
        if site is not None:
            return site.limits, [*site.caps, *paced, *own]
        caps = policies.site_caps(destination.provider, destination.site, key.domain, source)
        return lane.limits, [*caps, *paced, *own]


def _state(wait: Wait) -> str:
    if wait in (Wait.IN_FLIGHT, Wait.REPORTING):
        return "in-flight"
    if wait in (Wait.RETRY, Wait.SCHEDULED):
        return "scheduled"
    return "ready" if wait in (Wait.TURN, Wait.READING, Wait.CONNECTING) else "waiting"


def _binding(scope: str, field: str, value: str, where: str, until: float) -> dict[str, Any]:
    return {"scope": scope, "field": field, "value": value, "where": where, "until": until}


def _row(cap: Cap, binds: bool) -> dict[str, Any]:
    return {
        "scope": cap.scope,
        "field": cap.field,
        "value": value_text(cap.value),
        "where": str(cap.where),
        "key": cap.key,
        "binds": binds,
        "wait": _wait(cap).value,
    }


def _wait(cap: Cap) -> Wait:
    """What it makes wait where it binds."""
    if cap.field == "connections":
        return Wait.CONNECTION_LIMIT
    if cap.field == "warm_up":
        return Wait.WARM_UP
    return why_waited(cap.key) if cap.key else BY_FIELD.get(cap.field, Wait.PAUSED)


def _plain(limits: Limits | None, terms: Terms) -> list[dict[str, Any]]:
    if limits is None:
        return []
    demand = terms.demand(limits)
    said = {"tls": (demand.mode, who_demands(demand))}
    return [
        {
            "scope": "",
            "field": name,
            "value": value_text(value),
            "where": where,
            "key": "",
            "binds": False,
        }
        for name in _PLAIN
        for value, where in [said.get(name) or (getattr(limits, name), str(limits.where(name)))]
    ]


def _replies(note: Note, lane: Lane, site: Site | None, reading: Reading) -> list[dict[str, Any]]:
    """The last answers and what they say: to this delivery, then to those that found its site or
    domain dead."""
    rows = []
    provider = lane.provider or ""
    if note.reply:
        rows.append(_heard(note.reply, note.host, reading.read(provider, note.reply)))
    for failure in (site.last_failure if site is not None else None, lane.last_failure):
        if failure is not None:
            verdict = reading.classifier.classify(provider, failure.reply, failure.phase)
            rows.append(_heard(str(failure.reply), failure.host or failure.address, verdict))
    return rows


def _heard(reply: str, host: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "reply": reply,
        "host": host,
        "category": verdict.category.value,
        "fault": verdict.fault.value,
        "rule": verdict.rule,
    }
