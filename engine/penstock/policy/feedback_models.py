"""``[tenant.NAME.feedback]``: the shape of the table, and the kinds of values in it."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from penstock.policy.fields import Shown, Table
from penstock.policy.names import parse_name

_URL_CHARS_MAX = 500
_URL = re.compile(r"https://[!-;=?-~]+")  # printable, and nothing that ends <URL>
_SENDER_ID = re.compile(r"[A-Za-z0-9._-]{5,15}")
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _domain_or_none(text: str) -> str:
    return parse_name(text) if text else ""


def _url(text: str) -> str:
    if not text:
        return ""
    if len(text) > _URL_CHARS_MAX or not _URL.fullmatch(text):
        raise ValueError("expected a URL that begins with https:// (RFC 8058 3.1)")
    parts = urlsplit(text)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("expected https://HOST/PATH; the token is put behind it")
    parse_name(parts.hostname)
    return text.rstrip("/")


def _sender_id(text: str) -> str:
    if text and not _SENDER_ID.fullmatch(text):
        raise ValueError("a sender id has 5 to 15 of A-Z a-z 0-9 . _ -, as Gmail wants it")
    return text


def _label(text: str) -> str:
    if text and not _LABEL.fullmatch(text):
        raise ValueError("a label has 1 to 64 of A-Z a-z 0-9 . _ -")
    return text


OptionalDomain = Annotated[
    str, Field(max_length=255), AfterValidator(_domain_or_none), Shown("domain name")
]
HttpsUrl = Annotated[str, AfterValidator(_url), Shown("URL, https://HOST/PATH")]
SenderId = Annotated[str, AfterValidator(_sender_id), Shown("5 to 15 of A-Z a-z 0-9 . _ -")]
MessageLabel = Annotated[str, AfterValidator(_label), Shown("1 to 64 of A-Z a-z 0-9 . _ -")]


class FeedbackTable(Table):
    """What a tenant's mail carries so that bounces, complaints and unsubscribes find their way
    back. Keys that are not here are those of ``[tenant."*".feedback]``, which also holds for mail
    of no tenant; ``""`` turns one off. Needs ``[feedback] keys`` in config.toml."""

    bounce_domain: OptionalDomain = Field(
        default="",
        description="Domain of the return path, which names the delivery by a signed token.",
    )
    unsubscribe_url: HttpsUrl = Field(
        default="",
        description="For one-click unsubscribing (RFC 8058) from bulk mail; a token follows it.",
    )
    unsubscribe_domain: OptionalDomain = Field(
        default="", description="Domain to unsubscribe at by mail, in List-Unsubscribe."
    )
    feedback_id: SenderId = Field(
        default="",
        description="Sender id of Feedback-ID, behind campaign, tenant and class.",
    )
    cfbl_domain: OptionalDomain = Field(
        default="",
        description="Domain of CFBL-Address (RFC 9477); its key signs where From is elsewhere.",
    )
    postmaster_msgtype: MessageLabel = Field(
        default="", description="X-Postmaster-Msgtype, by which Mail.ru tells streams apart."
    )
