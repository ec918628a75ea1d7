"""Profiles of mailbox providers, as data: how each greets, limits, delays and refuses.

The wording is the providers' own where it is known, since classifying it is what the engine is
tried against: Yandex says ``5.7.1`` for an unknown user, Mail.ru gives no enhanced code at all,
Yahoo and Mail.ru may name an unknown user only after the content. In a text ``{client}`` is the
peer's address, ``{to}`` the recipient, ``{id}`` an id of the provider's. Shares are parts of all
addresses, drawn by hash: the same address behaves the same way in every run of one seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple


class Spread(NamedTuple):
    """A latency drawn between ``low`` and ``high`` milliseconds, evenly."""

    low: float
    high: float


_SHORT, _LONGER, _NONE = Spread(1, 5), Spread(5, 30), Spread(0, 0)


@dataclass(frozen=True, slots=True)
class Profile:
    """One provider. ``mx``: host names in order of preference for its ``domains``; limits of 0 are
    none. Texts are replies as they go over the wire, without the line end; ``\\n`` parts lines."""

    name: str
    mx: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    banner: str = "220 {host} ESMTP"
    accepted: str = "250 2.0.0 Ok: queued as {id}"
    command_ms: Spread = _SHORT
    final_ms: Spread = _LONGER
    size_max: int = 50_000_000
    recipients_max: int = 100
    starttls: bool = True
    connections_max: int = 0
    connections_reply: str = "421 4.7.0 {host} Error: too many connections from {client}"
    messages_per_connection: int = 0
    messages_reply: str = "421 4.7.0 {host} Error: too many messages in this session"
    rate_per_s: float = 0.0
    rate_burst: int = 1
    rate_reply: str = "451 4.7.1 Rate limit exceeded, please try again later"
    unknown_share: float = 0.0
    unknown_reply: str = "550 5.1.1 <{to}>: Recipient address rejected: User unknown"
    unknown_at_final: bool = False
    full_share: float = 0.0
    full_reply: str = "452 4.2.2 The email account that you tried to reach is over quota"
    grey_share: float = 0.0
    grey_delay_s: float = 300.0
    grey_reply: str = "451 4.7.1 Greylisting in action, please come back in 00:05:00"
    spam_reply: str = "554 5.7.1 Message rejected as spam by Content Filtering."
    busy_reply: str = "451 4.3.0 Temporary system problem, try again later"


GMAIL = Profile(
    name="gmail",
    mx=(
        "gmail-smtp-in.l.google.com",
        "alt1.gmail-smtp-in.l.google.com",
        "alt2.gmail-smtp-in.l.google.com",
    ),
    domains=("gmail.com", "googlemail.com"),
    banner="220 mx.google.com ESMTP {id} - gsmtp",
    accepted="250 2.0.0 OK  {id} - gsmtp",
    size_max=157_286_400,
    connections_max=40,
    connections_reply="421-4.7.0 Try again later, closing connection.\n421 4.7.0  {id} - gsmtp",
    messages_per_connection=100,
    rate_per_s=150.0,
    rate_burst=600,
    rate_reply=(
        "421-4.7.28 Gmail has detected an unusual rate of mail originating from your IP\n"
        "421-4.7.28 address. To protect our users from spam, mail has been temporarily\n"
        "421 4.7.28 rate limited. {id} - gsmtp"
    ),
    unknown_share=0.01,
    unknown_reply=(
        "550-5.1.1 The email account that you tried to reach does not exist. Please try\n"
        "550-5.1.1 double-checking the recipient's email address for typos or\n"
        "550 5.1.1 unnecessary spaces. {id} - gsmtp"
    ),
    full_share=0.002,
    full_reply=(
        "452-4.2.2 The recipient's inbox is out of storage space. Please direct the\n"
        "452-4.2.2 recipient to\n"
        "452 4.2.2  https://support.google.com/mail/?p=OverQuotaTemp {id} - gsmtp"
    ),
    grey_reply=(
        "450-4.2.1 The user you are trying to contact is receiving mail at a rate that\n"
        "450 4.2.1 prevents additional messages from being delivered. {id} - gsmtp"
    ),
    spam_reply=(
        "550-5.7.1 [{client}] Our system has detected that this message is\n"
        "550-5.7.1 likely unsolicited mail. To reduce the amount of spam sent to Gmail,\n"
        "550 5.7.1 this message has been blocked. {id} - gsmtp"
    ),
    busy_reply="421 4.3.0 Temporary System Problem. Try again later. {id} - gsmtp",
)

YAHOO = Profile(
    name="yahoo",
    mx=("mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net", "mta7.am0.yahoodns.net"),
    domains=("yahoo.com", "aol.com", "ymail.com"),
    banner="220 mtaproxy{id}.mail.ne1.yahoo.com ESMTP ready",
    accepted="250 ok dirdel",
    size_max=41_943_040,
    connections_max=20,
    connections_reply=(
        "421 4.7.0 [TSS04] Messages from {client} temporarily deferred due to unexpected volume or "
        "user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes"
    ),
    messages_per_connection=20,
    messages_reply="421 Max message per connection reached, closing transmission channel",
    rate_per_s=120.0,
    rate_burst=300,
    rate_reply=(
        "421 4.7.0 [TS02] Messages from {client} temporarily deferred due to user complaints - "
        "4.16.56.1; see https://postmaster.yahooinc.com/error-codes"
    ),
    unknown_share=0.015,
    unknown_reply="552 1 Requested mail action aborted, mailbox not found",
    unknown_at_final=True,
    grey_reply="451 4.3.2 Internal error reading data",
    spam_reply=(
        "554 Message not allowed - [PH01] Email not accepted for policy reasons. Please visit "
        "https://postmaster.yahooinc.com/error-codes"
    ),
)

MICROSOFT = Profile(
    name="microsoft",
    mx=("outlook-com.olc.protection.outlook.com",),
    domains=("outlook.com", "hotmail.com", "live.com", "msn.com"),
    banner="220 BN8NAM11FT044.mail.protection.outlook.com Microsoft ESMTP MAIL Service ready",
    accepted="250 2.6.0 <{id}@penstock.example> [InternalId={id}] Queued mail for delivery",
    final_ms=Spread(20, 80),
    size_max=49_283_072,
    connections_max=30,
    connections_reply=(
        "421 4.3.2 The maximum number of concurrent connections has exceeded a limit, closing "
        "transmission channel"
    ),
    messages_per_connection=50,
    rate_per_s=90.0,
    rate_burst=300,
    rate_reply=(
        "451 4.7.650 The mail server [{client}] has been temporarily rate limited due to IP "
        "reputation. For e-mail delivery information, see https://postmaster.live.com (S775) "
        "[Name=Protocol Filter Agent][AGT=PFA]"
    ),
    unknown_share=0.01,
    unknown_reply="550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302).",
    full_share=0.003,
    full_reply=(
        "452 4.2.122 The recipient has exceeded their limit for the number of messages they can "
        "receive per hour."
    ),
    grey_reply="451 4.7.500 Server busy. Please try again later from [{client}]. (AS843)",
    spam_reply=(
        "550 5.7.1 Unfortunately, messages from [{client}] weren't sent. Please contact your "
        "Internet service provider since part of their network is on our block list (S3140)."
    ),
)

MAILRU = Profile(
    name="mail.ru",
    mx=("mxs.mail.ru",),
    domains=("mail.ru", "bk.ru", "inbox.ru", "list.ru"),
    banner="220 mxs.mail.ru ESMTP ready (Looking for Mail for your domain? Visit biz.mail.ru)",
    accepted="250 OK id={id}",
    size_max=73_400_320,
    connections_max=10,
    connections_reply="421 Too many concurrent SMTP connections; please try again later.",
    rate_per_s=120.0,
    rate_burst=200,
    rate_reply="451 Ratelimit exceeded for the client. Try again later.",
    unknown_share=0.02,
    unknown_reply=(
        "550 Message was not accepted -- invalid mailbox.  Local mailbox {to} is unavailable: user "
        "not found"
    ),
    unknown_at_final=True,
    full_reply="552 Message was not accepted -- mailbox {to} is full",
    grey_share=0.02,
    grey_reply="451 4.7.1 Greylisting in action, please come back later",
    spam_reply="550 spam message rejected. Please visit http://help.mail.ru/notspam-support/id?c={id}",
)

_YANDEX_LATER = (
    "451 4.7.1 Sorry, the service is currently unavailable. Please come back later. {id}"
)
YANDEX = Profile(
    name="yandex",
    mx=("mx.yandex.ru",),
    domains=("yandex.ru", "ya.ru", "yandex.com"),
    banner=(
        "220 mail-nwsmtp-mxfront-production-main-{id}.vla.yp-c.yandex.net (Want to use Yandex.Mail "
        "for your domain? Visit http://pdd.yandex.ru) {id}"
    ),
    accepted="250 2.0.0 Ok: queued on mail-nwsmtp-mxfront-production-main.yandex.net {id}",
    size_max=53_477_376,
    connections_max=12,
    connections_reply="421 4.7.0 Too many connections from your IP, closing connection. {id}",
    rate_per_s=120.0,
    rate_burst=200,
    rate_reply=_YANDEX_LATER,
    unknown_share=0.02,
    unknown_reply="550 5.7.1 No such user!",
    full_reply="552 5.2.2 Mailbox size limit exceeded {id}",
    grey_share=0.05,
    grey_reply=_YANDEX_LATER,
    spam_reply="554 5.7.1 [2] Message rejected under suspicion of SPAM; https://ya.cc/1IrBc {id}",
)

GENERIC = Profile(name="generic", starttls=False, unknown_share=0.01, grey_share=0.02)

NAMED: tuple[Profile, ...] = (GMAIL, YAHOO, MICROSOFT, MAILRU, YANDEX)


def patient(profile: Profile) -> Profile:
    """``profile`` without latency, limits or moods: a sink that takes everything."""
    return replace(
        profile,
        command_ms=_NONE,
        final_ms=_NONE,
        recipients_max=0,
        starttls=False,
        connections_max=0,
        messages_per_connection=0,
        rate_per_s=0.0,
        rate_burst=1,
        unknown_share=0.0,
        full_share=0.0,
        grey_share=0.0,
    )
