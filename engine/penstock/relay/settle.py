"""From outcomes to records: what an attempt means for the queue, the sender and the log.

What failed is settled only when the report to its sender is on disk: whatever happens between, a
crash or a commit that fails, leaves either the delivery still queued or the report, never neither.
What was delivered is settled at once, report or not: rather one report less than one mail twice.

Every outcome is an event, told before the queue hears of it; of a failure that is when its report
is on disk, since only then it is one.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from penstock.events.journal import Recorder
from penstock.events.types import Attempt
from penstock.feedback.stated import stated_wait
from penstock.mail.dsn_status import Action
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.verdict import Category, Verdict, verdict_of
from penstock.policy.limits import Limits
from penstock.relay.feed import SiteFeed
from penstock.relay.lane import Lane, Ticket
from penstock.relay.note import Note
from penstock.relay.paces import Paces
from penstock.relay.reading import Reading
from penstock.relay.report import Case, Reporter
from penstock.relay.site import Site
from penstock.relay.spool import Spool, Stored
from penstock.relay.tally import Tally
from penstock.relay.telemetry import Telemetry
from penstock.schedule.retry import delay, next_attempt
from penstock.smtp.reply import Reply

log = structlog.get_logger("penstock.relay")
_EXPIRED = Reply.of(451, "4.4.7 Delivery time expired")
_UNSENT = Outcome(Kind.REQUEUED, Phase.RESOLVE, Reply.of(451, "4.0.0 Not sent"))
_BUILT_IN = Limits()
_NOBODYS = Tally("", "")  # for mail that meets no site
_GIVEN_UP = verdict_of(Category.EXPIRED)


@dataclass(frozen=True, slots=True)
class SettleConfig:
    """``delay_warning_s``: when a sender who asked for DELAY hears of it (RFC 3461 4.1);
    ``report_retry_s``: how soon to come back to what could not be reported for want of room."""

    delay_warning_s: float = 4 * 3600.0
    report_retry_s: float = 60.0


class OutcomeSettler:
    """The dispatcher's ``Settler``. ``now`` is wall time, ``loop_time`` the loop's. ``held``: refs
    that nobody may send; those whose report is on its way to the disk are put there. ``paces``
    hears of what was not delivered, ``recorder`` of every outcome."""

    def __init__(
        self,
        config: SettleConfig,
        *,
        spool: Spool,
        reporter: Reporter,
        telemetry: Telemetry,
        recorder: Recorder,
        reading: Reading,
        lane_of: Callable[[int], Lane],
        now: Callable[[], float],
        loop_time: Callable[[], float],
        rng: random.Random,
        held: set[int],
        paces: Paces,
    ) -> None:
        self._config, self._spool, self._reporter = config, spool, reporter
        self._telemetry, self._lane_of, self._reading = telemetry, lane_of, reading
        self._now, self._loop_time, self._rng = now, loop_time, rng
        self._held, self._paces, self._recorder = held, paces, recorder
        self.reporting: set[int] = set()

    def settle(self, feed: SiteFeed, ticket: Ticket, outcomes: Sequence[Outcome]) -> None:
        """One finished transaction; outcomes in the order of its refs."""
        now = self._now()
        took = self._loop_time() - ticket.started
        cases: list[Case] = []
        site, batch = ticket.site, ticket.batch
        provider = site.destination.provider
        spread, tally = -1.0, site.tally or _NOBODYS
        for ref, stored, answer in zip(batch.refs, batch.stored, outcomes, strict=True):
            outcome, kind = answer, answer.kind
            envelope, recipient = stored.envelope, stored.recipient
            verdict: Verdict | None = None
            if kind is not Kind.DELIVERED and kind is not Kind.REQUEUED:
                outcome, verdict = self._reading.judge(provider, outcome)
                kind = outcome.kind
                self._paces.heard(tally, outcome, verdict, envelope.tenant, envelope.campaign)
            attempts = 0 if batch.fresh else self._spool.attempts(ref)
            attempts += kind is not Kind.REQUEUED
            attempt = Attempt(
                now,
                envelope.id,
                recipient.address,
                envelope.sender,
                envelope.tenant,
                envelope.campaign,
                provider,
                site.name,
                outcome,
                attempts,
                now - envelope.received_at,
                took,
                site.source,
                verdict,
            )
            self._telemetry.attempt(attempt)
            if kind is Kind.DELIVERED:
                tally.delivered += 1
                self._recorder.attempt(attempt, envelope)
                if recipient.notify and (ticket.returns_to_us or not feed.passes_dsn):
                    self._reporter.report([Case(ref, stored, outcome, Action.RELAYED)], now)
                self._spool.settle(ref)
            elif kind is Kind.BOUNCED:
                cases.append(Case(ref, stored, outcome, Action.FAILED, attempt=attempt))
            elif kind is Kind.DEFERRED:
                soon = _comes_too_fast(site, verdict)
                if spread < 0:  # one for all recipients: they are retried together
                    spread = self._rng.random()
                limits = self._lane_of(ref).limits or site.limits
                cases += self._defer(ref, stored, attempt, limits, spread, soon)
        if cases:
            self._finish(cases, now)

    def fail(self, refs: Sequence[int], lane: Lane, outcome: Outcome) -> None:
        """What never came to a conversation: no destination, or no connection."""
        now, spread = self._now(), self._rng.random()
        cases: list[Case] = []
        limits = lane.limits or (lane.site.limits if lane.site else _BUILT_IN)
        outcome, verdict = self._reading.judge(lane.provider or "", outcome)
        soon = _comes_too_fast(lane.site, verdict)
        for ref, stored in self._load(refs):
            attempt = self._attempt(
                stored, lane, outcome, self._spool.attempts(ref) + 1, now, verdict
            )
            self._telemetry.attempt(attempt)
            if outcome.kind is Kind.BOUNCED:
                cases.append(Case(ref, stored, outcome, Action.FAILED, attempt=attempt))
            else:
                cases += self._defer(ref, stored, attempt, limits, spread, soon)
        if cases:
            self._finish(cases, now)

    def expire(self, refs: Sequence[int], lane: Lane, last: Outcome | None) -> None:
        """Given up at its maximum age, wherever it waited."""
        now = self._now()
        cases: list[Case] = []
        for ref, stored in self._load(refs):
            outcome = last
            if outcome is None:
                note = Note.unpack(stored.note)
                outcome = Outcome(Kind.DEFERRED, Phase.CONNECT, _reply(note.reply), note.host)
            attempt = self._attempt(stored, lane, outcome, self._spool.attempts(ref), now)
            cases.append(self._give_up(ref, stored, attempt))
        if cases:
            self._finish(cases, now)

    def bounce(self, pairs: Sequence[tuple[int, Stored]], reason: str, *, tell: bool) -> None:
        """An operator gave these up. With ``tell`` their senders hear of it, for which ``stored``
        must have the content; without, each is an event in the log and no more."""
        text = f"5.7.1 {reason or 'Removed from the queue by the operator'}"
        outcome = Outcome(Kind.BOUNCED, Phase.RESOLVE, Reply.of(550, text))
        now = self._now()
        cases: list[Case] = []
        for ref, stored in pairs:
            if not self._spool.exists(ref):
                continue
            attempts = self._spool.attempts(ref) + 1
            attempt = self._attempt(stored, self._lane_of(ref), outcome, attempts, now)
            self._telemetry.attempt(attempt)
            if tell:
                cases.append(Case(ref, stored, outcome, Action.FAILED, attempt=attempt))
            else:
                self._recorder.attempt(attempt, stored.envelope)
                self._spool.settle(ref)
        if cases:
            self._finish(cases, now)

    def cancel(self, pairs: Sequence[tuple[int, Stored]], who: str) -> None:
        """Taken back before they were sent: an event each, and nobody else is told."""
        now = self._now()
        for ref, stored in pairs:
            if self._spool.exists(ref):
                lane, attempts = self._lane_of(ref), self._spool.attempts(ref)
                attempt = self._attempt(stored, lane, _UNSENT, attempts, now)
                self._telemetry.cancelled(attempt)
                self._recorder.cancelled(attempt, stored.envelope, who)
                self._spool.settle(ref)

    def _defer(
        self,
        ref: int,
        stored: Stored,
        attempt: Attempt,
        limits: Limits,
        spread: float,
        soon: bool,
    ) -> list[Case]:
        """Due again later, or given up. Returns what must be told to the sender and settled.
        ``soon``: it came too fast, and the pace sees to it that it does not again."""
        now, outcome = attempt.at, attempt.outcome
        expires = self._spool.expires(ref) or math.inf
        if self._spool.expires(ref) == math.ceil(stored.envelope.expires_at):
            # as it came: an operator who moved it has the last word
            expires = min(expires, stored.envelope.sendable_at + limits.max_age_s)
        due, expired = next_attempt(now, expires, _pause(attempt, limits, spread, soon))
        if expired:
            return [self._give_up(ref, stored, attempt)]
        told = Note.unpack(stored.note).delay_told
        if not told and now - stored.envelope.sendable_at >= self._config.delay_warning_s:
            case = Case(ref, stored, outcome, Action.DELAYED, retry_until=expires)
            told = self._reporter.report([case], now)
        note = Note(str(outcome.reply), outcome.host or outcome.address, told)
        self._recorder.attempt(attempt, stored.envelope, retry_at=due)
        self._spool.defer(ref, due, attempt.attempt, note.pack())
        return []

    def _give_up(self, ref: int, stored: Stored, attempt: Attempt) -> Case:
        attempt = attempt._replace(verdict=_GIVEN_UP)
        self._telemetry.expired(attempt)
        return Case(ref, stored, attempt.outcome, Action.FAILED, expired=True, attempt=attempt)

    def _attempt(
        self,
        stored: Stored,
        lane: Lane,
        outcome: Outcome,
        attempts: int,
        now: float,
        verdict: Verdict | None = None,
    ) -> Attempt:
        site, envelope = lane.site, stored.envelope
        source = "" if site is None else site.source
        return Attempt(
            now,
            envelope.id,
            stored.recipient.address,
            envelope.sender,
            envelope.tenant,
            envelope.campaign,
            lane.provider or "",
            lane.site_name,
            outcome,
            attempts,
            now - envelope.received_at,
            0.0,
            source,
            verdict,
        )

    def _finish(self, cases: list[Case], now: float) -> None:
        """Tell the senders, then settle; where that is not possible, come back soon."""
        told = functools.partial(self._told, cases)
        refs = [case.ref for case in cases]
        self._held.update(refs)
        self.reporting.update(refs)
        if not self._reporter.report(cases, now, told):
            told(False)

    def _told(self, cases: list[Case], stored: bool) -> None:
        refs = [case.ref for case in cases]
        self._held.difference_update(refs)
        self.reporting.difference_update(refs)
        due = self._now() + self._config.report_retry_s
        for case in cases:
            self._record(case, 0.0 if stored else due)
            if stored:
                self._spool.settle(case.ref)
            else:
                note = Note(str(case.outcome.reply), case.outcome.host).pack()
                self._spool.defer(case.ref, due, self._spool.attempts(case.ref), note)

    def _record(self, case: Case, retry_at: float) -> None:
        """With a ``retry_at`` it has not failed after all, for want of a report."""
        attempt, envelope = case.attempt, case.stored.envelope
        if attempt is None:
            return
        attempt = attempt._replace(at=self._now())
        if not retry_at:
            self._recorder.attempt(attempt, envelope, expired=case.expired)
            return
        outcome = replace(attempt.outcome, kind=Kind.DEFERRED)
        self._recorder.attempt(attempt._replace(outcome=outcome), envelope, retry_at=retry_at)

    def _load(self, refs: Sequence[int]) -> list[tuple[int, Stored]]:
        """With content; few at a time, so read where it stands. What cannot be read now comes
        again."""
        stored = [self._spool.cached(ref) for ref in refs]
        missing = [ref for ref, one in zip(refs, stored, strict=True) if one is None]
        try:
            read = dict(zip(missing, self._spool.read(missing), strict=True)) if missing else {}
        except OSError as error:
            log.error("the queue cannot be read, trying again", error=str(error))
            read = {}
            due = self._now() + self._config.report_retry_s
            for ref in missing:
                self._spool.wake_at(ref, due)
        return [
            (ref, found)
            for ref, one in zip(refs, stored, strict=True)
            if (found := one or read.get(ref)) is not None
        ]


def _pause(attempt: Attempt, limits: Limits, spread: float, soon: bool) -> float:
    """Seconds until it is tried again."""
    number, initial_s, verdict = attempt.attempt, limits.retry_initial_s, attempt.verdict
    factor, max_s, jitter = limits.retry_factor, limits.retry_max_s, limits.retry_jitter
    if soon:
        initial_s = min(initial_s, limits.adaptive_retry_s)
    elif verdict is not None and verdict.category is Category.GREYLISTED:
        spread = 0.5 + spread / 2  # a moment too early, and all of the wait was for nothing
        stated_s = stated_wait(attempt.outcome.reply.text)
        initial_s = stated_s or min(initial_s, limits.greylist_retry_s)
    return delay(number, initial_s, factor, max_s, jitter, spread)


def _comes_too_fast(site: Site | None, verdict: Verdict | None) -> bool:
    """Whether it need not wait long, since the pace sees to it that it comes more slowly."""
    if site is None or verdict is None or verdict.category is not Category.THROTTLED:
        return False
    return site.limits.adaptive == "on"


def _reply(text: str) -> Reply:
    """A note's one line as a reply again."""
    code, _, rest = text.partition(" ")
    return Reply.of(int(code), rest) if code.isdigit() and len(code) == 3 else _EXPIRED
