"""One mail transaction: MAIL, RCPT, DATA, BDAT, RSET, decided without I/O.

Every method takes a whole command line (with its CRLF) and returns the bytes of a positive reply, a
``Reply`` that refuses, or the reader that takes the message bytes from here on. The session does
the rest.
"""

from __future__ import annotations

from penstock.intake import replies
from penstock.intake.config import ListenerConfig
from penstock.intake.peer import Peer
from penstock.intake.ports import Reception, Sink
from penstock.intake.sifting import refuse_early
from penstock.mail.envelope import Envelope, Recipient
from penstock.smtp.content import TOO_BIG
from penstock.smtp.data import ChunkReader, DataReader, parse_bdat
from penstock.smtp.grammar import parse_mail, parse_rcpt
from penstock.smtp.reply import Reply
from penstock.suppression.screen import Screen


class Transaction:
    """Lives as long as its session. ``envelope`` is ``None`` outside a transaction; ``screen``:
    the suppression list, where it is looked at."""

    __slots__ = (
        "_config", "_offered", "_reception", "_screen", "_sink",
        "chunks", "envelope", "messages", "peer", "screened",
    )  # fmt: skip

    def __init__(
        self,
        config: ListenerConfig,
        sink: Sink,
        peer: Peer,
        reception: Reception | None = None,
        screen: Screen | None = None,
    ) -> None:
        self.peer = peer
        self.envelope: Envelope | None = None
        self.chunks: ChunkReader | None = None  # of a message that BDAT has begun
        self.messages = 0
        self._offered = False
        self._config = config
        self._sink, self._reception = sink, reception
        self._screen = screen
        self.screened = True  # of each recipient so far it is settled that it is not suppressed

    def reset(self) -> None:
        self.envelope = None
        self.chunks = None
        self._offered = False
        self.screened = True

    def take(self) -> Envelope:
        """The finished envelope; the transaction is over."""
        envelope = self.envelope
        if envelope is None:
            raise AssertionError("no transaction")
        self.reset()
        self.messages += 1
        return envelope

    def mail(self, line: bytes) -> bytes | Reply:
        peer = self.peer
        if not peer.host_name:
            return replies.NEED_HELO
        if self.envelope is not None:
            return replies.NESTED_MAIL
        refusal = self._sink.refusal()
        if refusal is not None:
            return refusal
        secured = bool(peer.tls) and self._reception is None
        command = parse_mail(line, esmtp=peer.extended_smtp, secured=secured)
        if isinstance(command, Reply):
            return command
        if command.size > self._config.message_bytes_max:
            return TOO_BIG
        if 0 < self._config.messages_max <= self.messages:
            return replies.TOO_MANY_MESSAGES
        account = peer.account
        tenant, campaign, class_, pool = peer.defaults
        self.envelope = envelope = Envelope(
            command.sender,
            [],
            0.0,
            0,
            tenant,
            campaign,
            account.name if account is not None else "",
            peer.address,
            command.ret,
            command.envid,
            command.smtputf8,
        )
        if class_ or pool:
            envelope.class_, envelope.pool = class_, pool
        if command.requiretls:
            envelope.ret = "HDRS"  # no report on it has more of it (RFC 8689 section 5)
            envelope.tls = "require" if command.sender else ""  # a report goes on without, too
        return replies.MAIL_OK

    def rcpt(self, line: bytes) -> bytes | Reply:
        envelope = self.envelope
        if envelope is None:
            return replies.NEED_MAIL if self.peer.host_name else replies.NEED_HELO
        if self.chunks is not None:
            return replies.IN_CHUNKS
        self._offered = True
        command = parse_rcpt(line, esmtp=self.peer.extended_smtp, smtputf8=envelope.smtputf8)
        if isinstance(command, Reply):
            return command
        if not self.peer.trusted:
            if self._reception is None:
                return replies.RELAY_DENIED
            refusal = self._reception.admit(command.address, self.peer.address)
            if refusal is not None:
                return refusal
        if len(envelope.recipients) >= self._config.recipients_max:
            return replies.TOO_MANY_RECIPIENTS
        address, notify, orcpt = command
        if "@" not in address:  # <Postmaster>
            address = f"{address}@{self._config.hostname}"
        if self._screen is not None:
            answer = refuse_early(self._screen, self.peer, envelope, address)
            if isinstance(answer, Reply):
                return answer
            self.screened &= answer
        envelope.recipients.append(Recipient(address, notify, orcpt))
        return replies.RCPT_OK

    def data(self, line: bytes) -> DataReader | Reply:
        if line != b"DATA\r\n" and line.upper().rstrip() != b"DATA":
            return replies.DATA_SYNTAX if line[4:5].isspace() else replies.UNKNOWN
        if self.chunks is not None:
            return replies.IN_CHUNKS
        refusal = self._out_of_order()
        return DataReader(self._config.rules) if refusal is None else refusal

    def bdat(self, line: bytes) -> ChunkReader | Reply:
        """A reader even where the chunk is refused: its bytes come anyway and are no commands."""
        command = parse_bdat(line)
        if isinstance(command, Reply):
            return command
        chunks = self.chunks
        if chunks is None:
            chunks = ChunkReader(self._config.rules)
            refusal = self._out_of_order()
            if refusal is None:
                self.chunks = chunks
            else:
                chunks.refuse(refusal)
        chunks.begin(*command)
        return chunks

    def rset(self, line: bytes) -> bytes | Reply:
        if line[4:] != b"\r\n" and line[4:].strip():
            return replies.NO_ARGUMENT if line[4:5].isspace() else replies.UNKNOWN
        self.reset()
        return replies.OK

    def noop(self, line: bytes) -> bytes | Reply:
        return replies.OK if line[4:5].isspace() else replies.UNKNOWN

    def _out_of_order(self) -> Reply | None:
        if self.envelope is None:
            return replies.NEED_MAIL if self.peer.host_name else replies.NEED_HELO
        if not self.envelope.recipients:
            return replies.NO_RECIPIENT if self._offered else replies.NEED_RCPT
        return None
