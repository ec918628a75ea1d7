"""One transaction on its way through a conversation: where it stands, what was decided about
whom."""

from __future__ import annotations

from penstock.mail.outcome import Outcome, Phase
from penstock.relay.ports import Transaction

# The reply that is awaited next. RSET comes only after a transaction that ended halfway. CONTENT:
# none is due, content is being written. DISCARD: the reply to a lone dot, about nobody. PROOF: the
# reply to an RSET that shows whether the refusal of DATA was one.
RSET, MAIL, RCPT, DATA, CONTENT, FINAL, DISCARD, PROOF = range(8)
PHASES = (
    *(Phase.MAIL, Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DATA, Phase.FINAL, Phase.FINAL),
    Phase.DATA,
)
NAMES = ("RSET", "MAIL", "RCPT", "DATA", "content", "the final dot", "a lone dot", "RSET")


class Attempt:
    """Mutable and short-lived. ``decided`` is made only when some recipient was refused;
    ``unproven``: what the refusal of DATA means, if it was one."""

    __slots__ = (
        *("accepted", "answered", "behind", "decided", "mail_ok", "settled", "stage", "tx"),
        "unproven",
    )

    def __init__(self, tx: Transaction, stage: int) -> None:
        self.tx = tx
        self.stage = stage
        self.mail_ok = False
        self.answered = 0  # RCPT replies so far
        self.accepted = 0
        self.behind = 0  # bytes written after the final dot
        self.decided: list[Outcome | None] | None = None
        self.settled = False
        self.unproven: Outcome | None = None

    def refuse(self, index: int, outcome: Outcome) -> None:
        if self.decided is None:
            self.decided = [None] * len(self.tx.recipients)
        self.decided[index] = outcome

    def refuse_all(self, outcome: Outcome) -> None:
        self.decided = [outcome] * len(self.tx.recipients)

    def forget(self) -> None:
        """Nothing is decided."""
        self.decided = self.unproven = None

    def outcomes(self, outcome: Outcome) -> list[Outcome]:
        """What became of each recipient, where ``outcome`` is that of the undecided."""
        if self.decided is None:
            return [outcome] * len(self.tx.recipients)
        return [outcome if decided is None else decided for decided in self.decided]
