"""``[feedback]``: what comes back from the world about mail that was sent."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from penstock.mail.address import normal
from penstock.mail.verp import find_token
from penstock.policy.fields import Shown, Table
from penstock.settings.fields import PathText

_LOCAL = re.compile(r"[a-z0-9._+-]{1,64}")


def _local_part(text: str) -> str:
    text = text.lower()
    if not _LOCAL.fullmatch(text):
        raise ValueError("expected what stands before the @, of a-z 0-9 . _ + -")
    if find_token(text):
        raise ValueError("this has the form of a token's address")
    return text


def _address(text: str) -> str:
    return normal(text) if text else ""


LocalPart = Annotated[str, AfterValidator(_local_part), Shown("part before the @")]
AddressOrNone = Annotated[
    str, Field(max_length=320), AfterValidator(_address), Shown("mail address")
]


class FeedbackSettings(Table):
    """Bounces, complaints and unsubscribes: how they find the message that they are about, and who
    else gets what comes to a listener of role feedback. What each tenant's mail carries stands in
    policies/tenants.toml. See docs/feedback.md."""

    keys: PathText = Field(
        default="", description="File of the keys that sign tokens: penstock feedback keygen."
    )
    bounce_days: int = Field(
        default=30, ge=1, le=3650, description="How long the token in a return path is good."
    )
    complaint_days: int = Field(
        default=180, ge=1, le=3650, description="How long one in an address for complaints is good."
    )
    unsubscribe_days: int = Field(
        default=400,
        ge=1,
        le=3650,
        description="How long one in an unsubscribe link is good.",
    )
    complaint_addresses: tuple[LocalPart, ...] = Field(
        default=("fbl", "cfbl", "abuse"),
        max_length=100,
        description="Local parts, at the feedback domains, that take complaints without a token.",
    )
    postmaster: AddressOrNone = Field(
        default="",
        description="Who gets mail to postmaster at the feedback domains; nobody if not given.",
    )
    thread_bytes: int = Field(
        default=32 << 10,
        ge=0,
        le=1 << 30,
        description="Reports larger than this are read in a thread of their own.",
    )
