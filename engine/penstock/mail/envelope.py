"""The envelope: everything about a message that is not its bytes.

One ``Envelope`` is one accepted message. Each ``Recipient`` is delivered, retried and settled on
its own. ``ref`` is the engine-wide number of a queued delivery: shard in the top 16 bits, the
queue's sequence number in the lower 48. The text id that clients see is that number of the first
recipient, in Crockford's base 32, so it can be looked up without an index of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

CLASSES = ("transactional", "triggered", "bulk")  # of mail, the most urgent first
LABEL_CHARS = "1 to 64 of A-Z a-z 0-9 . _ -"
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}")
SEQUENCE_BITS = 48
SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _DIGITS for b in _DIGITS]
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}


def is_label(text: str) -> bool:
    """Whether ``text`` may name a tenant, a campaign or a pool in a message: it becomes part of
    queues, logs and metrics."""
    return _LABEL.fullmatch(text) is not None


def id_text(ref: int) -> str:
    """``ref`` as the text that clients, logs and commands use."""
    pairs = _PAIRS
    text = pairs[ref >> 10 & 1023] + pairs[ref & 1023]
    ref >>= 20
    while ref:
        text = pairs[ref >> 10 & 1023] + pairs[ref & 1023] + text
        ref >>= 20
    return text.lstrip("0") or "0"


def id_number(text: str) -> int:
    """The inverse of :func:`id_text`; raises ``ValueError`` for anything else."""
    number = 0
    try:
        for digit in text.lower():
            number = number * 32 + _VALUES[digit]
    except KeyError:
        raise ValueError(f"not a message id: {text!r}") from None
    if not text or number >= 1 << 64:
        raise ValueError(f"not a message id: {text!r}")
    return number


@dataclass(frozen=True, slots=True)
class Recipient:
    """``notify``: subset of ``{"NEVER", "SUCCESS", "FAILURE", "DELAY"}`` as given (RFC 3461 4.1),
    empty where the client gave none. ``orcpt``: ``"rfc822;a@b"`` still xtext-encoded, or ``""``."""

    address: str
    notify: tuple[str, ...] = ()
    orcpt: str = ""

    @property
    def domain(self) -> str:
        """The part after the last ``@``, lower case; ``""`` where there is none."""
        return self.address.rpartition("@")[2].lower() if "@" in self.address else ""


@dataclass(slots=True)
class Envelope:
    """``sender`` is ``""`` for the null reverse-path. Times are seconds since the epoch.
    ``dotted``: a line of the content may begin with a dot, which SMTP has to double. ``class_`` and
    ``pool`` are what the message says of itself, ``""`` where it says nothing; ``deliver_at`` is
    the time before which it is not to be sent, 0 for none. ``tls``: ``"require"`` where it may go
    over verified TLS only, from host to host (RFC 8689), ``"relax"`` where to arrive matters more
    than what its recipients' domains demand of TLS. ``metadata`` is the application's alone: kept,
    and shown with every event."""

    sender: str
    recipients: list[Recipient]
    received_at: float
    ref: int = 0
    tenant: str = ""
    campaign: str = ""
    account: str = ""
    client: str = ""
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    eightbit: bool = False
    expires_at: float = 0.0
    tags: dict[str, str] = field(default_factory=dict)
    dotted: bool = True
    class_: str = ""
    pool: str = ""
    deliver_at: float = 0.0
    tls: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    _id: str = field(default="", init=False, repr=False, compare=False)

    @property
    def id(self) -> str:
        """``ref`` as text; to be asked for once ``ref`` is set."""
        if not self._id:
            self._id = id_text(self.ref)
        return self._id

    @property
    def sendable_at(self) -> float:
        """When it may first be sent: its age as a delivery counts from here."""
        return max(self.received_at, self.deliver_at)
