"""From a call that is understood to messages in the queue, and what is said of each recipient.

A call brings one message or a thousand. One is made, written down where the call is to be
remembered, handed to the queue and waited for. Of many each is made and handed over by itself, for
a few milliseconds at a time, so that everything else goes on meanwhile; all are then waited for.
Nobody is told of a message that is not on disk, unless it was asked for so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, NamedTuple, Protocol

import msgspec

from penstock.api.idempotency import Answer, Claim
from penstock.api.problem import Problem, closed_problem
from penstock.intake.ports import Observer, Refused, Sink
from penstock.intake.sifting import Sifted, sift
from penstock.mail.envelope import Envelope, Recipient, id_text
from penstock.smtp.reply import Reply
from penstock.suppression.screen import Screen, described

SLICE_S = 0.004
_ROOM_WAIT_S = 10.0
_ROOM_POLL_S = 0.01
_NO_SUPPRESSED: dict[str, str] = {}


class Row(msgspec.Struct, omit_defaults=True):
    """What becomes of one recipient; as :class:`~penstock.api.messages_models.Outcome`."""

    recipient: str
    status: str
    id: str = ""
    reason: str = ""


class Given(NamedTuple):
    """A recipient as it was given (``shown``), and its address; ``problem``: why it is none."""

    shown: str
    address: str
    problem: str = ""


class Unfit(Exception):
    """This one message cannot be made; the text says why."""


class Compose(Protocol):
    """Makes the content for an envelope that has its ref and its recipients; notes in it what the
    content needs. Raises :class:`Unfit` where only this message is concerned, else a Problem."""

    def __call__(self, envelope: Envelope) -> list[bytes]: ...


@dataclass(slots=True)
class Piece:
    """One message to be made. ``metadata``: beside that of the call; ``heavy``: making it takes
    so long that a thread had better do it; ``touch`` writes into its envelope what else is its own.
    """

    given: Sequence[Given]
    compose: Compose
    metadata: dict[str, str] = field(default_factory=dict)
    heavy: bool = False
    touch: Callable[[Envelope], None] | None = None


@dataclass(slots=True)
class Order:
    """One call. ``envelope`` has what all of its messages have; ``memory``: nobody waits for the
    disk. ``answer`` makes of the rows what the client is told; raises ``Problem`` where nobody gets
    anything."""

    envelope: Envelope
    pieces: Sequence[Piece]
    answer: Callable[[list[Row]], Answer]
    memory: bool = False

    def envelope_of(self, piece: Piece, addresses: Sequence[str]) -> Envelope:
        mark = self.envelope
        metadata = {**mark.metadata, **piece.metadata} if piece.metadata else mark.metadata
        envelope = Envelope(
            mark.sender,
            [Recipient(one) for one in addresses],
            mark.received_at,
            0,
            mark.tenant,
            mark.campaign,
            mark.account,
            mark.client,
            smtputf8=mark.smtputf8 or not all(map(str.isascii, addresses)),
            expires_at=mark.expires_at,
            tags=mark.tags,
            class_=mark.class_,
            pool=mark.pool,
            deliver_at=mark.deliver_at,
            metadata=metadata,
        )
        if piece.touch is not None:
            piece.touch(envelope)
        return envelope


@dataclass(slots=True)
class _Made:
    """A message ready for the queue; ``suppressed``: why, by the address of who does not get it."""

    envelope: Envelope
    body: list[bytes]
    sifted: Sifted | None
    suppressed: dict[str, str]


def addresses(piece: Piece) -> list[str]:
    """Whom it may go to, each once."""
    return list(dict.fromkeys(one.address for one in piece.given if not one.problem))


class Injector:
    """One worker's way from calls to its queue."""

    def __init__(self, sink: Sink, screen: Screen | None, observer: Observer) -> None:
        self._sink, self._screen, self._observer = sink, screen, observer

    async def run(self, order: Order, claim: Claim) -> Answer:
        refusal = self._sink.refusal()
        if refusal is not None:
            raise closed_problem(refusal)
        if len(order.pieces) == 1:
            return await self._one(order, order.pieces[0], claim)
        return await _Many(self, order, claim).run()

    async def _one(self, order: Order, piece: Piece, claim: Claim) -> Answer:
        known = claim.known[0] if claim.known else 0
        if known:
            return order.answer(rows_of(piece, id_text(known), _NO_SUPPRESSED))
        people = addresses(piece)
        if not people:
            return order.answer(rows_of(piece, "", _NO_SUPPRESSED))
        ref = self._sink.reserve(len(people))
        try:
            made = await self._made(order, piece, people, ref)
        except Unfit as error:
            return order.answer(unfit_rows(piece, str(error)))
        rows = rows_of(piece, made.envelope.id, made.suppressed)
        if not made.body:
            self.tell(made)
            return order.answer(rows)
        answer = order.answer(rows)
        await claim.begin([ref], answer)
        try:
            stored = self._sink.submit(made.envelope, made.body)
            if not order.memory:
                await asyncio.shield(stored)
        except Refused as refused:
            raise closed_problem(refused.reply) from None
        claim.took(0)
        self.accepted(made)
        return answer

    async def _made(self, order: Order, piece: Piece, people: list[str], ref: int) -> _Made:
        if not piece.heavy:
            return self.make(order, piece, people, ref)
        envelope = order.envelope_of(piece, people)
        envelope.ref = ref
        loop = asyncio.get_running_loop()
        return self._sift(envelope, await loop.run_in_executor(None, piece.compose, envelope))

    def make(self, order: Order, piece: Piece, people: list[str], ref: int) -> _Made:
        """With an empty body where all of its recipients are suppressed."""
        envelope = order.envelope_of(piece, people)
        envelope.ref = ref
        return self._sift(envelope, piece.compose(envelope))

    def _sift(self, envelope: Envelope, body: list[bytes]) -> _Made:
        sifted = sift(self._screen, envelope) if self._screen is not None else None
        if sifted is None:
            return _Made(envelope, body, None, _NO_SUPPRESSED)
        suppressed = {address: described(entry) for address, entry in sifted.found}
        return _Made(envelope, body if envelope.recipients else [], sifted, suppressed)

    def submit(self, made: _Made) -> asyncio.Future[None]:
        return self._sink.submit(made.envelope, made.body)

    def reserve(self, recipients: int) -> int:
        return self._sink.reserve(recipients)

    def accepted(self, made: _Made) -> None:
        self._observer.on_accept(made.envelope, sum(map(len, made.body)))
        self.tell(made)

    def tell(self, made: _Made) -> None:
        """Who is suppressed is an event, whether anybody else gets the message or not."""
        if made.sifted is not None and self._screen is not None:
            made.sifted.tell(self._screen)


class _Many:
    """One call with several messages."""

    def __init__(self, injector: Injector, order: Order, claim: Claim) -> None:
        self._injector, self._order, self._claim = injector, order, claim
        self._rows: list[list[Row]] = []
        self._groups: dict[asyncio.Future[None], list[tuple[int, _Made]]] = {}
        self._refused: Reply | None = None
        self._taken = 0

    async def run(self) -> Answer:
        refs = self._refs()
        await self._claim.begin(refs)
        try:
            await self._submit_all(refs)
        finally:
            await self._stored()
        if self._refused is not None and (self._claim.remembers or not self._taken):
            problem = closed_problem(self._refused)
            if self._taken:
                problem.detail = (
                    f"There was room for {self._taken} of {len(refs)} messages; repeat the request "
                    "with the same Idempotency-Key, and only the others are sent."
                )
            raise problem
        return self._order.answer([row for rows in self._rows for row in rows])

    def _refs(self) -> list[int]:
        """A ref for each message that may become one, those of an earlier try first."""
        known = self._claim.known or [0] * len(self._order.pieces)
        wanted = [
            0 if ref else len(addresses(piece))
            for ref, piece in zip(known, self._order.pieces, strict=True)
        ]
        following = self._injector.reserve(sum(wanted)) if any(wanted) else 0
        refs = []
        for ref, count in zip(known, wanted, strict=True):
            refs.append(ref or (following if count else 0))
            following += count
        return refs

    async def _submit_all(self, refs: Sequence[int]) -> None:
        known = self._claim.known
        until = perf_counter() + SLICE_S
        for index, (piece, ref) in enumerate(zip(self._order.pieces, refs, strict=True)):
            if perf_counter() > until:
                await asyncio.sleep(0)
                until = perf_counter() + SLICE_S
            if known and known[index]:
                self._taken += 1
                self._rows.append(rows_of(piece, id_text(ref), _NO_SUPPRESSED))
            elif self._refused is not None:
                self._rows.append(self._refused_rows(piece))
            elif not ref:
                self._rows.append(rows_of(piece, "", _NO_SUPPRESSED))
            else:
                await self._submit(index, piece, ref)

    async def _submit(self, index: int, piece: Piece, ref: int) -> None:
        injector = self._injector
        try:
            made = injector.make(self._order, piece, addresses(piece), ref)
        except Unfit as error:
            self._rows.append(unfit_rows(piece, str(error)))
            return
        if not made.body:
            injector.tell(made)
            self._rows.append(rows_of(piece, made.envelope.id, made.suppressed))
            return
        try:
            future = await self._when_there_is_room(made)
        except Refused as refused:
            self._refused = refused.reply
            self._rows.append(self._refused_rows(piece))
            return
        self._groups.setdefault(future, []).append((index, made))
        self._rows.append(rows_of(piece, made.envelope.id, made.suppressed))

    async def _when_there_is_room(self, made: _Made) -> asyncio.Future[None]:
        """What waits for the disk is bounded: a call that brings more than that goes on when some
        of it is there."""
        until = perf_counter() + _ROOM_WAIT_S
        while True:
            try:
                return self._injector.submit(made)
            except Refused as refused:
                if refused.reply.code == 452 or perf_counter() > until:
                    raise
            await asyncio.sleep(_ROOM_POLL_S)

    async def _stored(self) -> None:
        """Wait for all that was handed over. With ``memory`` nobody waits, and what becomes of it
        is not known here."""
        for future, messages in self._groups.items():
            try:
                if not self._order.memory:
                    await asyncio.shield(future)
            except Refused as refused:
                self._refused = refused.reply
                for index, _ in messages:
                    if index < len(self._rows):
                        self._rows[index] = self._refused_rows(self._order.pieces[index])
                continue
            for index, made in messages:
                self._taken += 1
                self._claim.took(index)
                self._injector.accepted(made)

    def _refused_rows(self, piece: Piece) -> list[Row]:
        why = closed_problem(self._refused).detail if self._refused is not None else ""
        return [
            Row(one.shown, "invalid", reason=one.problem)
            if one.problem
            else Row(one.shown, "refused", reason=why.partition(";")[0])
            for one in piece.given
        ]


def rows_of(piece: Piece, id_: str, suppressed: dict[str, str]) -> list[Row]:
    """What is said of the recipients of a message that was made; ``suppressed``: by address."""
    return [
        Row(one.shown, "invalid", reason=one.problem)
        if one.problem
        else Row(one.shown, "suppressed", id_, suppressed[one.address])
        if one.address in suppressed
        else Row(one.shown, "accepted", id_)
        for one in piece.given
    ]


def unfit_rows(piece: Piece, why: str) -> list[Row]:
    """Of a message that could not be made."""
    return [Row(one.shown, "invalid", reason=one.problem or why) for one in piece.given]


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """As :class:`~penstock.api.messages_models.Accepted`."""
    counts = dict.fromkeys(("accepted", "suppressed", "invalid", "refused"), 0)
    first = ""
    for row in rows:
        counts[row.status] += 1
        if not first and row.status == "accepted":
            first = row.id
    return {"id": first, **counts, "recipients": rows}


def nobody(rows: Sequence[Row]) -> Problem | None:
    """The 422 for a call of which nothing was accepted."""
    if any(row.status == "accepted" for row in rows):
        return None
    said = summary(rows)
    return Problem(
        422,
        "no-recipient",
        f"Nobody gets it: {said['suppressed']} suppressed, {said['invalid']} invalid.",
        recipients=[msgspec.to_builtins(row) for row in rows],
    )
