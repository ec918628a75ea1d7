"""The transactions that a connection took from its feed, and the promise to report each exactly
once.

At most two are open: the ``current`` one, which replies are about, and the one ``ahead``, whose
commands were sent behind the current one's content.
"""

from __future__ import annotations

from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.relay.attempt import MAIL, PHASES, RSET, Attempt
from penstock.relay.peer import Peer
from penstock.relay.ports import Feed
from penstock.smtp.reply import Reply


class Ledger:
    """``used``: transactions that ended; ``limit``: how many there may be."""

    __slots__ = ("_address", "_feed", "_host", "_peer", "_tls", "ahead", "current", "limit", "used")

    def __init__(self, feed: Feed, peer: Peer, limit: int, where: tuple[str, str, str]) -> None:
        self._feed = feed
        self._peer = peer
        self._host, self._address, self._tls = where
        self.limit = limit
        self.current: Attempt | None = None
        self.ahead: Attempt | None = None
        self.used = 0

    @property
    def full(self) -> bool:
        """Whether what is used and open already is all there may be."""
        attempt = self.current
        return self.used + (attempt is not None and not attempt.settled) >= self.limit

    def take(self, reset: bool) -> bytes | None:
        """Take one from the feed as the one ahead; its commands (after RSET if wanted), or None.

        What the peer cannot be sent at all is reported on the spot.
        """
        while (tx := self._feed.next()) is not None:
            commands = self._peer.commands(tx)
            if not isinstance(commands, bytes):
                refused = self.outcome(Kind.BOUNCED, Phase.MAIL, commands)
                self._feed.done(tx, [refused] * len(tx.recipients))
            elif not tx.recipients:
                self._feed.done(tx, [])
            elif reset:
                self.ahead = Attempt(tx, RSET)
                return b"RSET\r\n" + commands
            else:
                self.ahead = Attempt(tx, MAIL)
                return commands
        return None

    def advance(self) -> None:
        """The one ahead becomes the current one."""
        self.current, self.ahead = self.ahead, None

    def outcome(self, kind: Kind, phase: Phase, reply: Reply) -> Outcome:
        return Outcome(kind, phase, reply, self._host, self._address, self._tls)

    def judged(self, kind: Kind, attempt: Attempt, reply: Reply) -> Outcome:
        """The outcome of ``reply``, in the phase that the attempt is in."""
        return self.outcome(kind, PHASES[attempt.stage], reply)

    def report(self, attempt: Attempt, outcome: Outcome) -> None:
        """``outcome`` is that of the recipients about whom nothing was decided yet."""
        if not attempt.settled:
            attempt.settled = True
            self.used += 1
            self._feed.done(attempt.tx, attempt.outcomes(outcome))

    def end(self, outcome: Outcome | None) -> None:
        """Report the current transaction so and put the one ahead back into the queue."""
        current, ahead = self.current, self.ahead
        self.current = self.ahead = None
        try:
            if current is not None and outcome is not None:
                self.report(current, outcome)
        finally:
            if ahead is not None and outcome is not None:
                self.report(ahead, self.outcome(Kind.REQUEUED, Phase.MAIL, outcome.reply))
