"""What a server can do, and the commands that say a transaction to it.

Only what the server announced is used. A message that needs more than it can do is refused here,
with the reply that explains it, before a byte is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.relay.ports import Transaction
from penstock.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Peer:
    """The extensions that matter here. ``size_max``: bytes, 0 where the server names no limit."""

    pipelining: bool = False
    size: bool = False
    size_max: int = 0
    eightbit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    requiretls: bool = False

    @classmethod
    def of(cls, extensions: Mapping[str, str]) -> Peer:
        """``extensions``: EHLO keyword in lower case -> parameters."""
        size = extensions.get("size", "").split(" ", 1)[0]
        return cls(
            pipelining="pipelining" in extensions,
            size="size" in extensions,
            size_max=int(size) if size.isascii() and size.isdigit() and len(size) < 20 else 0,
            eightbit="8bitmime" in extensions,
            smtputf8="smtputf8" in extensions,
            dsn="dsn" in extensions,
            requiretls="requiretls" in extensions,
        )

    def commands(self, tx: Transaction) -> bytes | Reply:
        """MAIL, a RCPT for each recipient and DATA, a line each; or why it cannot be sent.

        RFC 1870 SIZE, RFC 6152 BODY, RFC 6531 SMTPUTF8, RFC 8689 REQUIRETLS, RFC 3461 RET, ENVID,
        NOTIFY, ORCPT.
        """
        size = tx.size
        if self.size_max and size > self.size_max:
            return Reply.of(
                552, f"5.3.4 Message of {size} bytes is more than the host takes: {self.size_max}"
            )
        text = f"MAIL FROM:<{tx.sender}>"
        if self.size:
            text += f" SIZE={size}"
        if tx.eightbit and self.eightbit:
            text += " BODY=8BITMIME"
        if tx.smtputf8 and self.smtputf8:
            text += " SMTPUTF8"
        if tx.requiretls:
            if not self.requiretls:
                return Reply.of(550, "5.7.30 REQUIRETLS is required, not offered by host")
            text += " REQUIRETLS"
        options = tx.rcpt_options if self.dsn else ()
        if self.dsn:
            if tx.ret:
                text += f" RET={tx.ret}"
            if tx.envid:
                text += f" ENVID={tx.envid}"
        if options:
            for recipient, option in zip(tx.recipients, options, strict=True):
                text += (
                    f"\r\nRCPT TO:<{recipient}> {option}"
                    if option
                    else (f"\r\nRCPT TO:<{recipient}>")
                )
        else:
            for recipient in tx.recipients:
                text += f"\r\nRCPT TO:<{recipient}>"
        text += "\r\nDATA\r\n"
        if not text.isascii() or tx.smtputf8:
            if not self.smtputf8:
                return Reply.of(553, "5.6.7 The host does not take internationalised addresses")
            if not tx.smtputf8:
                text = text.replace("\r\n", " SMTPUTF8\r\n", 1)
        lines = len(tx.recipients) + 2
        if text.count("\n") != lines or text.count("\r") != lines:
            return Reply.of(553, "5.1.3 An address holds a line break")
        return text.encode("utf-8", "replace")
