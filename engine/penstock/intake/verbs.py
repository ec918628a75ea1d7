"""The commands that need no speed, on aiosmtpd: EHLO, HELO, AUTH, STARTTLS, HELP, VRFY, EXPN.

aiosmtpd's coroutines do the work. They speak through ``push``, which gives every reply its enhanced
code (RFC 2034) where aiosmtpd has none, and read through ``_reader``. Both go through the session's
own buffers, so that order is kept with the commands that the session handles itself.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from penstock.intake import replies
from penstock.intake.auth import REASONS
from penstock.intake.peer import Peer
from penstock.intake.shared import Shared
from penstock.intake.transaction import Transaction
from penstock.smtp.reply import Reply

LINE_MAX = 512
AUTH_LINE_MAX = 12288
_LINE_MAX = {b"MAIL": 2048, b"RCPT": 2048, b"AUTH": AUTH_LINE_MAX}
SLOW = frozenset({"EHLO", "HELO", "AUTH", "STARTTLS", "HELP", "VRFY", "EXPN"})
COMMANDS = sorted(SLOW | {"MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT"} - {"EXPN"})
_NO_ARGUMENT = frozenset({"STARTTLS"})
# Whatever a Received field can hold; stricter would refuse clients for a misconfigured name.
_HELO_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}|\[[A-Za-z0-9:.]{1,64}\]")
_ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ")
_CODES = {
    "250": "2.0.0", "454": "4.7.0", "500": "5.5.1", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1",
    "504": "5.5.4",
}  # fmt: skip


class LineTooLong(Exception):
    """A client's answer to an AUTH challenge is over the bound. It is told once the line ends."""


def line_max(verb: bytes) -> int:
    """Bytes of a command line with its CRLF (RFC 5321 4.5.3.1.4, RFC 4954 4); ``verb`` upper."""
    return _LINE_MAX.get(verb, LINE_MAX)


class Verbs(SMTP):
    """The half of a session that aiosmtpd knows."""

    _shared: Shared
    _transaction: Transaction
    _verb: str
    _said: list[bytes]  # replies of the running command, not yet written
    _reader: Any  # aiosmtpd's type is a StreamReader; it calls only readline()

    @property
    def peer(self) -> Peer:
        return self._transaction.peer

    @property
    def starttls_offered(self) -> bool:
        shared = self._shared
        return shared.config.tls == "starttls" and not self.peer.tls

    @property
    def requiretls_offered(self) -> bool:
        return bool(self.peer.tls) and self._shared.reception is None

    @property
    def auth_offered(self) -> bool:
        return self._shared.authenticator is not None and self.peer.private

    @abstractmethod
    def refuse(self, reply: Reply, phase: str) -> bytes:
        """Count and tell a negative reply; the bytes to send."""

    @abstractmethod
    def flush(self) -> None:
        """Write what the running command has said so far."""

    @abstractmethod
    def meet(self, peer: Peer) -> None:
        """Start over with a client of whom nothing is known but this."""

    def precheck(self, verb: str, arg: str) -> Reply | None:
        """Why aiosmtpd need not be asked."""
        if verb in ("EHLO", "HELO"):
            return None if _HELO_NAME.fullmatch(arg) else replies.BAD_HELO
        if arg and verb in _NO_ARGUMENT:
            return replies.NO_ARGUMENT
        if verb == "AUTH":
            if self._shared.authenticator is None:
                return replies.NOT_OFFERED
            if not self.peer.host_name:
                return replies.NEED_EHLO
            if not self.peer.private:
                return replies.ENCRYPTION_NEEDED
            if self._transaction.envelope is not None:
                return replies.IN_TRANSACTION
        if verb == "STARTTLS":
            if self.peer.tls:
                return replies.TLS_ACTIVE
            if not self.starttls_offered:
                return replies.NOT_OFFERED
            if not self.peer.host_name:
                return replies.NEED_EHLO
        return None

    async def run_verb(self, verb: str, arg: str) -> None:
        """Run one of ``SLOW``; its replies are in ``_said``."""
        if verb == "AUTH":  # aiosmtpd compares mechanisms as they are written
            mechanism, blank, initial = arg.partition(" ")
            arg = mechanism.upper() + blank + initial
            self._auth_require_tls = False  # precheck has seen to it
        elif verb == "EHLO":
            self._auth_require_tls = False  # offered or not: see Hooks
            self.tls_context = self._shared.tls_context
            self.command_size_limits = {"MAIL": 0}  # not our limits, but aiosmtpd adds to them
        await getattr(self, f"smtp_{verb}")(arg or None)

    def _set_rset_state(self) -> None:
        self._transaction.reset()

    async def push(self, status: str | bytes) -> None:
        text = status if isinstance(status, str) else status.decode("utf-8", "replace")
        code, rest = text[:3], text[4:]
        if self._verb not in ("EHLO", "HELO") and code in _CODES and not _ENHANCED.match(rest):
            text = f"{text[:4]}{_CODES[code]} {rest}"
        if code[0] in "45":
            self._said.append(self.refuse(Reply.of(int(code), text[4:]), self._verb.lower()))
        else:
            self._said.append(text.encode() + b"\r\n")

    async def judge(self, result: AuthResult) -> AuthResult:
        """From the credentials that aiosmtpd has read to the verdict that it waits for."""
        authenticator = self._shared.authenticator
        if not result.success or authenticator is None:
            return result
        given = result.auth_data
        assert isinstance(given, LoginPassword)
        peer = self.peer
        verdict = await authenticator.check(peer.address, given.login, given.password)
        name = given.login.decode("utf-8", "replace")
        if isinstance(verdict, Reply):
            known = name if authenticator.knows(name) else ""
            self._shared.observer.on_auth(peer.address, known, REASONS[verdict])
            return AuthResult(success=False, handled=False, message=str(verdict))
        peer.logged_in(verdict)
        self._shared.observer.on_auth(peer.address, verdict.name, "")
        return AuthResult(success=True, auth_data=verdict)

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """What came behind STARTTLS in the clear is dropped, unread (RFC 3207 4.2)."""
        self.discard_input()
        self._said.append(b"220 2.0.0 Ready to start TLS\r\n")
        self.flush()
        old = self.peer
        tls = await self.start_tls()
        defaults = self._shared.config.defaults
        self.meet(Peer(self.loop, old.address, near=old.near, tls=tls, defaults=defaults))

    @abstractmethod
    async def start_tls(self, first: bytes = b"") -> str:
        """Encrypt from here on; how, as the trace field tells it. Raises ``OSError``."""

    @abstractmethod
    def discard_input(self) -> None:
        """Forget what was received and not yet looked at."""

    async def smtp_VRFY(self, arg: str | None) -> None:
        """Tells nothing, and so needs no parser for what it is asked (RFC 5321 7.3)."""
        if arg is None:
            await self.push("501 5.5.4 Syntax: VRFY <address>")
        else:
            await self.push("252 2.1.5 Cannot verify, but will take mail for delivery")

    async def smtp_HELP(self, arg: str | None) -> None:
        await self.push("214 2.0.0 Commands: " + " ".join(COMMANDS))
