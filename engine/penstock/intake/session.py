"""One SMTP session: bytes in, replies out, in order.

Commands of a transaction and message bytes are handled synchronously from our own buffer, straight
in ``data_received``: no coroutine, no timer and no copy per command, and one write for all replies
to what came together. Everything else is a coroutine of aiosmtpd (:mod:`verbs`); while one runs,
and while a message waits for its commit, input is kept aside up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.intake import replies
from penstock.intake.connection import Connection
from penstock.intake.shared import Shared
from penstock.intake.submission import Submission, submit
from penstock.intake.transaction import Transaction
from penstock.intake.verbs import AUTH_LINE_MAX, LINE_MAX, SLOW, LineTooLong, line_max
from penstock.smtp.content import TOO_BIG
from penstock.smtp.data import BDAT_SYNTAX, ChunkReader, DataReader
from penstock.smtp.reply import Reply

_HOT: dict[bytes, Callable[[Transaction, bytes], bytes | Reply | DataReader | ChunkReader]] = {
    b"MAIL": Transaction.mail,
    b"RCPT": Transaction.rcpt,
    b"DATA": Transaction.data,
    b"BDAT": Transaction.bdat,
    b"RSET": Transaction.rset,
    b"NOOP": Transaction.noop,
}
HTTP_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "OPTIONS", "CONNECT"})
# Replies written at a time, so that a flood of tiny commands meets write back-pressure.
_GROUP_MAX = 256
# What a message may hold before it is counted: most never are.
_ACCOUNT_BYTES = 16 << 10


class Session(Connection):
    """An ``asyncio.Protocol``, made for every connection of a listener."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._skipping = False  # to the end of an over-long line
        self._submission: Submission | None = None
        self._reader = self  # aiosmtpd reads with readline(), which is ours

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._reader = None  # no cycle to collect

    def _set_rset_state(self) -> None:
        super()._set_rset_state()
        self._drop_body()

    # -- input ------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._busy or self._choked or self._proxied:
            self._buffer += data
            if self._proxied:
                self._read_proxy()
            elif self._asked is not None:
                self._answer_asked()
            self._regulate()
            return
        if self._buffer:
            data = bytes(self._buffer) + data
            self._buffer.clear()
        elif self._body is None and data.find(b"\n") == len(data) - 1 >= 0 and not self._reason:
            self._alone(data)
            return
        self._pump(data, [])

    def _alone(self, line: bytes) -> None:
        """One whole command and nothing else, as from a client that does not pipeline."""
        answer = self._line(line)
        body = self._body
        if body is not None and body.done:  # BDAT 0
            self._pump(b"", [answer] if answer else [])
            return
        if answer:
            self._write(answer)
        if self._reason or self._eof or self._shared.draining:
            self._end()

    def _go_on(self, out: list[bytes]) -> None:
        if self._busy or self._choked or self._proxied:
            if out:
                self._write(b"".join(out))
            return
        data = bytes(self._buffer)
        self._buffer.clear()
        self._pump(data, out)
        if not self._reading:
            self._regulate()

    def _pump(self, data: bytes, out: list[bytes]) -> None:
        """Handle all of ``data`` that can be handled now, and write the replies at once."""
        pos, end = 0, len(data)
        while not self._reason:
            body = self._body
            if body is not None:
                if pos == end and not body.done:
                    break
                pos = body.feed(data, pos)
                if body.done:
                    answer = self._body_done(body)
                elif body.size - self._held > _ACCOUNT_BYTES:
                    answer = self._account(body)
                else:
                    break
            elif pos == end:
                break
            else:
                stop = data.find(b"\n", pos) + 1
                if stop == 0:
                    pos = self._line_part(data, pos)
                    break
                answer = self._line(data[pos:stop])
                pos = stop
            if answer is None:
                break
            if answer:
                out.append(answer)
                if len(out) > _GROUP_MAX:
                    self._write(b"".join(out))
                    out = []
                    if self._choked:
                        break
        if pos < end and not self._reason:
            self._buffer += data[pos:]
        if out:
            self._write(out[0] if len(out) == 1 else b"".join(out))
        if self._reason or self._eof or self._shared.draining:
            self._end()

    # -- command lines ----------------------------------------------------------------------------

    def _line_part(self, data: bytes, pos: int) -> int:
        """A line without end yet; the offset behind what can be forgotten of it."""
        if self._skipping or len(data) - pos > line_max(data[pos : pos + 4].upper()):
            self._skipping = True
            return len(data)
        return pos

    def _line(self, line: bytes) -> bytes | None:
        """The reply to one whole line; ``b""``: none yet, go on; ``None``: wait."""
        self._lines += 1
        verb = line[:4].upper()
        if self._skipping or (len(line) > LINE_MAX and len(line) > line_max(verb)):
            self._skipping = False
            return self.refuse(replies.LINE_TOO_LONG, "command")
        if line[-2:] != b"\r\n":
            if self._shared.config.bare_newlines == "refuse":
                return self.refuse(replies.NO_LINE_END, "command")
            line = line[:-1] + b"\r\n"
        hot = _HOT.get(verb)
        if hot is None:
            return self._other(line)
        answer = hot(self._transaction, line)
        if self._held and self._transaction.chunks is None:
            self._drop_body()  # RSET amid chunks
        if isinstance(answer, bytes):
            return answer
        if isinstance(answer, Reply):
            phase = verb.decode("ascii").lower()
            told = self.refuse(answer, phase)
            if answer is BDAT_SYNTAX and not self._reason:  # what follows may be message or command
                told += self.refuse(replies.OUT_OF_STEP, phase)
            return told
        self._body = answer
        return replies.GO_AHEAD if isinstance(answer, DataReader) else self._account(answer)

    def _other(self, line: bytes) -> bytes | None:
        try:
            word, _, arg = line[:-2].decode("ascii").partition(" ")
        except UnicodeDecodeError:
            return self.refuse(replies.NOT_TEXT, "command")
        verb, arg = word.upper(), arg.strip()
        if verb == "QUIT":
            if arg:
                return self.refuse(replies.NO_ARGUMENT, "quit")
            self._reason = "quit"
            return replies.BYE
        if verb not in SLOW:
            # A browser or a gullible service speaks to us; what follows may be commands of another.
            foreign = verb in HTTP_VERBS
            return self.refuse(replies.NOT_HTTP if foreign else replies.UNKNOWN, "command")
        refusal = self.precheck(verb, arg)
        if refusal is not None:
            return self.refuse(refusal, verb.lower())
        self._busy = True
        self._verb = verb
        self._task = self.loop.create_task(self._run(verb, arg))
        return None

    async def _run(self, verb: str, arg: str) -> None:
        try:
            await self.run_verb(verb, arg)
        except OSError:  # only a handshake does I/O
            self.tls_failed()
        except LineTooLong:
            self._skipping = True
        except Exception as error:
            self._shared.observer.on_error(error, verb.lower())
            self._said.append(self.refuse(replies.TROUBLE, verb.lower()))
        self._task = None
        self._busy = False
        said, self._said = self._said, []
        self._go_on(said)

    async def readline(self) -> bytes:
        """For aiosmtpd: the client's next line, here its answer to a challenge."""
        self.flush()
        self._asked = self.loop.create_future()
        self._answer_asked()
        try:
            return await self._asked
        finally:
            self._asked = None

    def _answer_asked(self) -> None:
        asked, buffer = self._asked, self._buffer
        if asked is None or asked.done():
            return
        stop = buffer.find(b"\n") + 1
        if 0 < stop <= AUTH_LINE_MAX:
            asked.set_result(bytes(buffer[:stop]))
            del buffer[:stop]
            self._lines += 1
        elif stop or len(buffer) > AUTH_LINE_MAX:
            asked.set_exception(LineTooLong())

    # -- messages ---------------------------------------------------------------------------------

    def _account(self, body: DataReader | ChunkReader) -> bytes:
        """Bound what unfinished messages hold, and how long an over-long one is listened to."""
        shared = self._shared
        if body.size > shared.discard_max:
            self._drop_body()
            told = self.refuse(TOO_BIG, "message")
            self._reason = self._reason or "refused"
            return told
        held = body.held
        shared.receiving += held - self._held
        self._held = held
        if held and shared.receiving > shared.config.receiving_bytes_max:
            body.refuse(replies.TOO_MUCH_AT_ONCE)
            shared.receiving -= held
            self._held = 0
        return b""

    def _body_done(self, body: DataReader | ChunkReader) -> bytes | None:
        if isinstance(body, ChunkReader):
            if body.refusal is not None and body is not self._transaction.chunks:
                self._body = None  # came out of order; no transaction is touched
                return self.refuse(body.refusal, "bdat")
            if body.refusal is None and not body.last:
                told = self._account(body)
                self._body = None
                return told or b"250 2.0.0 %d octets received\r\n" % body.chunk
        self._drop_body()
        content = body.result()
        if isinstance(content, Reply):
            self._transaction.reset()
            return self.refuse(content, "message")
        screened = self._transaction.screened
        envelope = self._transaction.take()
        submission = submit(
            self._shared, self.peer.origin, envelope, content, body.dotted, screened
        )
        if isinstance(submission, Reply):
            return self.refuse(submission, "message")
        if submission.future.done():
            return self._verdict(submission)
        self._submission = submission
        self._busy = True
        submission.future.add_done_callback(self._committed)
        return None

    def _committed(self, _: asyncio.Future[None]) -> None:
        submission = self._submission
        assert submission is not None
        self._submission = None
        self._busy = False
        self._go_on([self._verdict(submission)])

    def _verdict(self, submission: Submission) -> bytes:
        answer = submission.verdict()
        if isinstance(answer, Reply):
            return self.refuse(answer, "message")
        self._errors = 0
        return answer
