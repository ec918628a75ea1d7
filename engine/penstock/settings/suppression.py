"""Settings of the suppression list: who gets no mail any more, and for how long."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from penstock.policy.fields import Duration, Size, Table
from penstock.settings.fields import Label

_GIB = 1 << 30
_DAY_S = 86400.0
_TTL_MAX_S = 36_500 * _DAY_S
MailClass = Literal["transactional", "triggered", "bulk"]


class SuppressionSettings(Table):
    """The suppression list, in the spool: who gets no mail any more."""

    enabled: bool = Field(
        default=True, description="Whether it is looked at, and kept by what happens to mail."
    )
    map_bytes: Size = Field(
        default=4 * _GIB,
        ge=1 << 20,
        le=1 << 40,
        description="How large its file may become; ten million addresses take about 1 GiB.",
    )
    plus_addresses: Literal["distinct", "same"] = Field(
        default="distinct",
        description="Whether `user+tag@` is another address than `user@`, or the same.",
    )
    bounce_ttl_s: Duration = Field(
        default=0.0,
        ge=0,
        le=_TTL_MAX_S,
        description="How long a dead address stays on the list; 0: for good.",
    )
    complaint_ttl_s: Duration = Field(
        default=0.0,
        ge=0,
        le=_TTL_MAX_S,
        description="How long somebody who complained does; 0: for good.",
    )
    complaint_classes: tuple[MailClass, ...] = Field(
        default=("triggered", "bulk"),
        max_length=3,
        description="What somebody who complained gets no more of the tenant; empty: any mail.",
    )
    unsubscribe_ttl_s: Duration = Field(
        default=0.0,
        ge=0,
        le=_TTL_MAX_S,
        description="How long somebody who unsubscribed stays on the list; 0: for good.",
    )
    list_tag: Label = Field(
        default="",
        description="The tag that names a mailing list, from which one unsubscribes alone.",
    )
    full_mailbox_times: int = Field(
        default=5,
        ge=0,
        le=100,
        description="Messages given up since the mailbox was full that make it dead; 0: never.",
    )
    full_mailbox_days: int = Field(
        default=14, ge=1, le=365, description="Days within which these have to come."
    )
    full_mailbox_ttl_s: Duration = Field(
        default=90 * _DAY_S,
        ge=0,
        le=_TTL_MAX_S,
        description="How long such a mailbox stays on the list; 0: for good.",
    )
    global_hard_bounces: bool = Field(
        default=False,
        description="Whether an address that is dead for one tenant is for all of them.",
    )
