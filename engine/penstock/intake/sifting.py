"""Which recipients of a message are on the suppression list, and what the client hears of it.

Asked once for each recipient: at RCPT where the client's account fixes whose mail it is, else when
the message is there, since its header may still say so. A recipient that is refused is told to the
application twice, in the reply and as an event.
"""

from __future__ import annotations

from typing import NamedTuple

from penstock.intake.peer import Peer
from penstock.mail.envelope import Envelope
from penstock.smtp.reply import Reply
from penstock.suppression.entry import Entry
from penstock.suppression.screen import Mail, Screen, described

_TEXT_CHARS_MAX = 440  # a reply line has 512 bytes at most (RFC 5321 4.5.3.1.5)
_ADDRESS_CHARS_MAX = 100


class SuppressedReply(Reply):
    """No mistake of the client's: whoever sends a campaign to a list with many dead addresses must
    not lose its connection over it."""

    __slots__ = ()


class Sifted(NamedTuple):
    """Recipients that were taken out of an envelope, each with the entry that says so."""

    mail: Mail
    found: tuple[tuple[str, Entry], ...]

    def tell(self, screen: Screen) -> None:
        for address, entry in self.found:
            screen.tell("intake", address, entry, self.mail)


def refuse_early(screen: Screen, peer: Peer, envelope: Envelope, address: str) -> Reply | bool:
    """At RCPT: the refusal, or whether it is settled that the recipient may have the message."""
    account = peer.account
    if account is None or not envelope.tenant:
        return False  # the header may name any tenant
    mail = _mail(envelope)
    entry, settled = screen.early(address, mail, account.permit.classes)
    if entry is None:
        return settled
    screen.tell("intake", address, entry, mail)
    return _refusal(address, entry)


def sift(screen: Screen, envelope: Envelope) -> Sifted | None:
    """Take the suppressed recipients out of an envelope that is complete; ``None``: there are
    none. Nobody is told yet."""
    mail = None
    found: list[tuple[str, Entry]] = []
    for recipient in envelope.recipients:
        if screen.entries(recipient.address, envelope.tenant):
            mail = mail or _mail(envelope)
            entry = screen.find(recipient.address, mail)
            if entry is not None:
                found.append((recipient.address, entry))
    if mail is None or not found:
        return None
    out = {address for address, _ in found}
    envelope.recipients = [one for one in envelope.recipients if one.address not in out]
    return Sifted(mail._replace(message=envelope.id), tuple(found))


def all_suppressed(sifted: Sifted) -> Reply:
    """After DATA: nobody is left."""
    if len(sifted.found) == 1:
        return _refusal(*sifted.found[0])
    text = _named(sifted, f"5.7.1 All {len(sifted.found)} recipients are suppressed: ")
    return SuppressedReply.of(550, text)


def some_suppressed(sifted: Sifted, left: int) -> str:
    """What the 250 says beside the id of a message that the others get."""
    count = len(sifted.found)
    are = "is" if count == 1 else "are"
    return _named(sifted, f"; {count} of {count + left} recipients {are} suppressed: ")


def _mail(envelope: Envelope) -> Mail:
    return Mail(envelope.tenant, envelope.class_, envelope.tags, envelope.campaign, envelope.sender)


def _refusal(address: str, entry: Entry) -> Reply:
    code = "5.1.1" if entry.of_bounce else "5.7.1"
    plain = _plain(address)
    whose = f" for {entry.tenant}" if entry.tenant else ""
    what = f" ({entry.scope})" if entry.scope else ""
    return SuppressedReply.of(
        550,
        f"{code} {plain} is suppressed{whose}{what}: {described(entry)};"
        f" see penstock suppression show {plain}",
    )


def _named(sifted: Sifted, text: str) -> str:
    """``text`` and as many of the addresses as there is room for."""
    for number, (address, entry) in enumerate(sifted.found):
        more = len(sifted.found) - number
        named = f"{', ' if number else ''}{_plain(address)} ({entry.reason})"
        if len(text) + len(named) > _TEXT_CHARS_MAX:
            return f"{text} and {more} more"
        text += named
    return text


def _plain(address: str) -> str:
    """In printable ASCII, and bounded."""
    plain = address.encode("ascii", "backslashreplace").decode()
    return plain if len(plain) <= _ADDRESS_CHARS_MAX else f"{plain[:_ADDRESS_CHARS_MAX]}..."
