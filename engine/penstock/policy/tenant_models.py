"""The shape of ``policies/tenants.toml``: whose mail it is, and what is due to it.

``[class.NAME]`` for the three classes of mail, ``[tenant.NAME]`` for a sender,
``[tenant.NAME.campaign.NAME]`` for one campaign of it. A tenant or campaign named ``"*"`` stands
for each one that has no table of its own.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator

from penstock.policy.feedback_models import FeedbackTable
from penstock.policy.fields import ByteRateOrUnlimited, RateOrUnlimited, Shown, Table, text_form
from penstock.policy.models import ConnectionsOrUnlimited, Fraction
from penstock.policy.problem import nearest
from penstock.policy.source_models import WEIGHT_MAX, Name
from penstock.policy.tenants import CLASSES, MailClassName
from penstock.policy.window import WINDOW_PATTERN, Window

TENANT_LENGTH_MAX = 255
TENANTS_MAX = 100_000


def _class_name(text: str) -> str:
    if text not in CLASSES:
        near = nearest(text, CLASSES)
        hint = f'; did you mean "{near}"?' if near else ""
        raise ValueError(f"not a class of mail: {text!r}; there are {', '.join(CLASSES)}{hint}")
    return text


def _tenant_name(text: str) -> str:
    if not 1 <= len(text) <= TENANT_LENGTH_MAX or not text.isprintable():
        raise ValueError(f"a name has 1 to {TENANT_LENGTH_MAX} printable characters")
    return text


def _window(value: object) -> Window | None:
    if isinstance(value, str):
        return Window.parse(value)
    if isinstance(value, Window) or value is None:
        return value
    raise ValueError('expected a window, like "mon-fri 08:00-20:00 Europe/Berlin"')


ClassName = Annotated[
    str, AfterValidator(_class_name), Shown("class", forms=({"enum": list(CLASSES)},))
]
TenantName = Annotated[str, AfterValidator(_tenant_name), Shown("name")]
WindowOrNone = Annotated[
    Window | None,
    PlainValidator(_window),
    Shown(
        'window, like "mon-fri 08:00-20:00 Europe/Berlin"',
        lambda value: str(value) if value else "always",
        (text_form(WINDOW_PATTERN, "mon-fri 08:00-20:00 Europe/Berlin"),),
    ),
]


class ClassTable(Table):
    """One of the classes ``transactional``, ``triggered`` and ``bulk``."""

    floor: Fraction | None = Field(
        default=None,
        ge=0,
        le=0.5,
        description="Its share of a ready queue whatever waits above: triggered 0.1, bulk 0.05.",
    )
    pool: Name | None = Field(
        default=None, description="The pool for mail of this class whose tenant names none."
    )


class CampaignTable(Table):
    """One campaign of a tenant."""

    weight: int = Field(
        default=1,
        ge=1,
        le=WEIGHT_MAX,
        description="Its share against others of its kind that wait with it.",
    )
    message_rate: RateOrUnlimited = Field(
        default=None, description="Messages in a period, to all destinations together."
    )
    byte_rate: ByteRateOrUnlimited = Field(
        default=None, description="Bytes in a period, to all destinations together."
    )
    connections: ConnectionsOrUnlimited = Field(
        default=None, description="Connections that carry its mail at once."
    )
    window: WindowOrNone = Field(
        default=None, description="When its mail may go; transactional mail goes at any time."
    )


class TenantTable(CampaignTable):
    """One tenant; ``[tenant."*"]`` gives values to each tenant that has no table."""

    class_: MailClassName | None = Field(
        default=None, alias="class", description="The class of its mail that names none."
    )
    pool: Name | None = Field(
        default=None, description="The pool for its mail, unless the message names one."
    )
    feedback: FeedbackTable = Field(
        default=FeedbackTable(), description="What its mail carries so that reports come back."
    )
    campaign: dict[TenantName, CampaignTable] = Field(
        default={}, max_length=TENANTS_MAX, description="Campaigns by name."
    )


class TenantsFile(Table):
    """``policies/tenants.toml``."""

    class_: dict[ClassName, ClassTable] = Field(
        default={}, alias="class", description="The classes of mail."
    )
    tenant: dict[TenantName, TenantTable] = Field(
        default={}, max_length=TENANTS_MAX, description="Tenants by name."
    )
