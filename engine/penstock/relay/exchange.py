"""The conversation about transactions on one established connection, as a state machine.

Replies come in, bytes go out; there is no coroutine, no future and no clock reading per command.
With a peer that offers PIPELINING (RFC 2920), MAIL, RCPT and DATA of a transaction are one write,
and where the feed has another transaction ready, its commands ride behind this one's content and
final dot: a message costs one round trip.

First all replies that arrived together are judged, then what follows from the last of them is done.
So a reply to something that was not even sent yet is recognised as out of step.

Recipients whose fate is not known are DEFERRED where the server may have got the whole message, or
where their transaction ran into the trouble; they are REQUEUED where they only stood behind it, and
where a connection that had served others turned out to be gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from penstock.mail.outcome import Kind, Outcome
from penstock.relay.attempt import (
    CONTENT,
    DATA,
    DISCARD,
    FINAL,
    MAIL,
    NAMES,
    PROOF,
    RCPT,
    RSET,
    Attempt,
)
from penstock.relay.content import stuffed, stuffed_slices
from penstock.relay.ledger import Ledger
from penstock.relay.options import ConnectOptions
from penstock.relay.peer import Peer
from penstock.relay.ports import Feed
from penstock.smtp.client_reply import ProtocolError
from penstock.smtp.reply import Reply

SMALL_BYTES = 64 << 10  # content up to this goes out in one write
_UNSENT_SLACK = 4096  # TLS framing counts as unsent, too
_NEVER = float("inf")
_NOTHING, _ASK, _STEP, _CONTENT, _LONE_DOT, _PROVE = range(6)
_NO_RECIPIENTS = Reply.of(554, "5.5.1 No valid recipients")


class Wire(Protocol):
    """The connection below. ``writing`` is False while its buffer is full."""

    writing: bool

    def write(self, data: bytes) -> None: ...
    def writelines(self, chunks: Sequence[bytes]) -> None: ...

    def unsent(self) -> int:
        """Bytes that were written and wait in the buffer."""
        ...

    def drop(self) -> None:
        """Close at once, without a farewell."""
        ...

    def rest(self) -> None:
        """There is nothing to do: the feed is empty, the connection used up, or dropped."""
        ...


class Exchange:
    """``deadline``: on ``clock``; whoever owns the timer calls :meth:`timed_out` after it.
    ``closed``: the connection is of no more use. Content must move on by a slice (64 KiB) in each
    ``data_timeout_s``."""

    def __init__(
        self,
        wire: Wire,
        feed: Feed,
        peer: Peer,
        options: ConnectOptions,
        clock: Callable[[], float],
        where: tuple[str, str, str] = ("", "", ""),
    ) -> None:
        self._wire, self._clock = wire, clock
        self._ledger = Ledger(feed, peer, options.messages_per_connection, where)
        self._pipelining = peer.pipelining
        self._prefetch = peer.pipelining and options.prefetch
        command, final = options.command_timeout_s, options.final_timeout_s
        write = options.data_timeout_s
        self._timeouts = (command, command, command, command, write, final, final, command)
        self._steps: list[bytes] = []  # commands still to be sent one by one, last first
        self._slices: Iterator[bytes] | None = None
        self._todo = _NOTHING
        self._reset = False
        self.deadline = _NEVER
        self.closed = False

    @property
    def resting(self) -> bool:
        return self._ledger.current is None

    @property
    def used(self) -> int:
        """Transactions that ended on this connection."""
        return self._ledger.used

    @property
    def full(self) -> bool:
        """As many transactions as this connection may have."""
        return self._ledger.full

    # what happens

    def ask(self) -> None:
        """Take the next transaction from the feed and start it, or rest."""
        self.deadline = _NEVER
        stop = self.closed or self._ledger.full
        group = None if stop else self._ledger.take(self._reset)
        if group is None:
            self._wire.rest()
            return
        self._reset = False
        self._ledger.advance()
        if not self._pipelining:
            self._steps = [line + b"\r\n" for line in reversed(group.split(b"\r\n")[:-1])]
            group = self._steps.pop()
        self._wire.write(group)
        self._await_reply()

    def replies(self, replies: Sequence[Reply | ProtocolError]) -> None:
        """What arrived, in one go."""
        for reply in replies:
            attempt = self._ledger.current
            if isinstance(reply, ProtocolError):
                self._trouble(reply.reply)
            elif attempt is None:
                self._close(None)  # nobody asked: the 421 of a server that closes, or nonsense
            elif reply.code == 421:
                self._going_away(attempt, reply)
            elif self._todo or (300 <= reply.code < 400 and attempt.stage != DATA):
                self._astray(attempt, reply)
            else:
                self._judge(attempt, reply)
            if self.closed:
                return
        self._do()
        if not self.closed:
            self._await_reply()

    def write_more(self) -> None:
        """The wire has room again."""
        if self._slices is not None:
            self._write_slices(self._slices)
            self._await_reply()

    def lost(self) -> None:
        """The connection is gone."""
        attempt = self._ledger.current
        if attempt is None:
            self._close(None)
        elif attempt.stage == FINAL:
            self._defer("4.4.2 Connection lost after the final dot; may have been delivered")
        elif attempt.unproven is not None:  # the host had no more to say, so it was no reply late
            self._close(attempt.unproven)
        elif self._ledger.used:
            text = "4.4.2 Connection lost: closed by the host between messages"
            self._close(self._ledger.judged(Kind.REQUEUED, attempt, Reply.of(451, text)))
        else:
            self._defer(f"4.4.2 Connection lost: awaiting the reply to {NAMES[attempt.stage]}")

    def timed_out(self) -> None:
        """The deadline passed."""
        attempt = self._ledger.current
        if attempt is not None:
            late = "; may have been delivered" if attempt.stage == FINAL else ""
            what = "writing" if attempt.stage == CONTENT else "awaiting the reply to"
            self._defer(f"4.4.2 Timed out {what} {NAMES[attempt.stage]}{late}")

    def abandon(self) -> None:
        """Whoever runs the connection stops; everything taken is given back."""
        attempt = self._ledger.current
        if attempt is None:
            self._close(None)
        elif attempt.stage == FINAL:
            self._defer("4.4.2 Stopped after the final dot; may have been delivered")
        else:
            reply = Reply.of(451, "4.3.2 Stopped before the message was sent")
            self._doubt(attempt)
            self._close(self._ledger.judged(Kind.REQUEUED, attempt, reply))

    # judging replies

    def _judge(self, attempt: Attempt, reply: Reply) -> None:
        stage = attempt.stage
        if stage == FINAL:
            self._final(attempt, reply)
        elif stage == MAIL:
            self._mail(attempt, reply)
        elif stage == RCPT:
            self._rcpt(attempt, reply)
        elif stage == DATA:
            self._data(attempt, reply)
        elif stage == CONTENT:
            self._too_early(attempt, reply)
        elif stage == PROOF:
            self._proof(attempt, reply)
        elif stage == RSET and reply.code < 300:
            attempt.stage = MAIL
            self._step()
        elif stage == RSET:  # nobody refuses that: it is the answer to something before it
            self._close(self._ledger.judged(Kind.REQUEUED, attempt, _out_of_step(reply)))
        else:
            self._next()

    def _mail(self, attempt: Attempt, reply: Reply) -> None:
        if reply.code < 300:
            attempt.mail_ok = True
            attempt.stage = RCPT
            self._step()
            return
        outcome = self._ledger.judged(_kind(reply.code), attempt, reply)
        attempt.refuse_all(outcome)
        attempt.stage = RCPT  # what was sent along is still answered
        if not self._pipelining:
            self._ledger.report(attempt, outcome)
            self._next()

    def _rcpt(self, attempt: Attempt, reply: Reply) -> None:
        index = attempt.answered
        attempt.answered = index + 1
        if attempt.mail_ok:
            if reply.code < 300:
                attempt.accepted += 1
            else:
                kind = _kind(reply.code)
                if reply.code == 552 and attempt.accepted and reply.enhanced[:4] != "5.2.":
                    kind = Kind.DEFERRED  # "too many recipients", RFC 5321 section 4.5.3.1.10
                attempt.refuse(index, self._ledger.judged(kind, attempt, reply))
        if index + 1 == len(attempt.tx.recipients):
            attempt.stage = DATA
            if not self._pipelining and not attempt.accepted:
                self._unfinished(attempt, reply)
                return
        self._step()

    def _data(self, attempt: Attempt, reply: Reply) -> None:
        if reply.code == 354:
            self._todo = _CONTENT if attempt.accepted else _LONE_DOT
        elif reply.code < 400:
            self._astray(attempt, reply)
        else:
            self._unfinished(attempt, reply)

    def _final(self, attempt: Attempt, reply: Reply) -> None:
        if self._wire.unsent() > attempt.behind + _UNSENT_SLACK:
            self._too_early(attempt, reply)
            return
        self._ledger.report(attempt, self._ledger.judged(_kind(reply.code), attempt, reply))
        self._next()

    def _too_early(self, attempt: Attempt, reply: Reply) -> None:
        """An answer to content that was not all sent: a refusal counts, the rest is cut off."""
        if reply.code < 400:
            self._trouble(_out_of_step(reply))
        else:
            self._close(self._ledger.judged(_kind(reply.code), attempt, reply))

    def _unfinished(self, attempt: Attempt, reply: Reply) -> None:
        """The transaction is over without content; the server may still hold what it accepted. Of
        recipients that were accepted the refusal may be a reply to RCPT that is one late: then a
        354 is on its way, and comes before the reply to RSET."""
        outcome = self._ledger.judged(_kind(reply.code), attempt, reply)
        if attempt.accepted:
            attempt.unproven, attempt.stage, self._todo = outcome, PROOF, _PROVE
            return
        self._reset = attempt.mail_ok
        self._ledger.report(attempt, outcome)
        self._next()

    def _proof(self, attempt: Attempt, reply: Reply) -> None:
        if reply.code >= 300 or attempt.unproven is None:
            self._astray(attempt, reply)
        else:
            self._ledger.report(attempt, attempt.unproven)
            self._next()

    def _going_away(self, attempt: Attempt, reply: Reply) -> None:
        """421: the answer to the current transaction, unless it came before anything of it."""
        idle = self._ledger.used and attempt.stage == MAIL and reply.enhanced == "4.4.2"
        kind = Kind.REQUEUED if idle or attempt.stage == RSET else Kind.DEFERRED
        self._doubt(attempt)
        self._close(self._ledger.judged(kind, attempt, reply))

    def _step(self) -> None:
        if not self._pipelining:
            self._todo = _STEP

    def _next(self) -> None:
        self._ledger.advance()
        if self._ledger.current is None:
            self._todo = _ASK

    # doing what follows

    def _do(self) -> None:
        todo = self._todo
        if todo == _NOTHING:
            return
        self._todo = _NOTHING
        attempt = self._ledger.current
        if attempt is None:
            self.ask()
        elif todo == _STEP:
            self._wire.write(self._steps.pop())
        elif todo == _PROVE:
            self._wire.write(b"RSET\r\n")
        elif todo == _LONE_DOT:  # an empty message must reach nobody (RFC 2920 section 3.1)
            self._ledger.report(attempt, self._ledger.judged(Kind.BOUNCED, attempt, _NO_RECIPIENTS))
            attempt.stage = DISCARD
            self._wire.write(self._tail(attempt))
        elif attempt.tx.size > SMALL_BYTES:
            attempt.stage = CONTENT
            self._slices = stuffed_slices(attempt.tx.body)
            self._write_slices(self._slices)
        else:
            content = stuffed(attempt.tx.body, attempt.tx.dotted)
            attempt.stage = FINAL
            self._wire.writelines((content, self._tail(attempt)))

    def _write_slices(self, slices: Iterator[bytes]) -> None:
        while self._wire.writing:
            piece = next(slices, None)
            if piece is not None:
                self._wire.write(piece)
                continue
            attempt = self._ledger.current
            assert attempt is not None
            self._slices = None
            attempt.stage = FINAL
            self._wire.write(self._tail(attempt))
            return

    def _tail(self, attempt: Attempt) -> bytes:
        """The final dot, and the next transaction's commands if there is one."""
        if self._prefetch and not self._ledger.full:
            group = self._ledger.take(False)
            if group is not None:
                attempt.behind = len(group)
                return b".\r\n" + group
        return b".\r\n"

    def _await_reply(self) -> None:
        attempt = self._ledger.current
        if attempt is not None:
            self.deadline = self._clock() + self._timeouts[attempt.stage]

    # ends

    def _defer(self, text: str) -> None:
        self._trouble(Reply.of(451, text))

    def _astray(self, attempt: Attempt, reply: Reply) -> None:
        """Some reply before was one too many, or one is missing: who was refused may be another."""
        attempt.forget()
        self._trouble(_out_of_step(reply))

    def _trouble(self, reply: Reply) -> None:
        """Nothing that follows can be trusted: the current transaction is deferred."""
        attempt = self._ledger.current
        if attempt is None:
            self._close(None)
        else:
            self._doubt(attempt)
            self._close(self._ledger.judged(Kind.DEFERRED, attempt, reply))

    def _doubt(self, attempt: Attempt) -> None:
        if attempt.stage == PROOF:  # it ends before its refusals were proven
            attempt.forget()

    def _close(self, outcome: Outcome | None) -> None:
        if self.closed:
            return
        self.closed = True
        self.deadline = _NEVER
        self._slices = None
        self._wire.drop()
        try:
            self._ledger.end(outcome)
        finally:
            self._wire.rest()


def _kind(code: int) -> Kind:
    if code < 300:
        return Kind.DELIVERED
    return Kind.DEFERRED if code < 500 else Kind.BOUNCED


def _out_of_step(reply: Reply) -> Reply:
    return Reply.of(451, f"4.5.0 Protocol error: out of step: {str(reply)[:120]}")
