"""The shape of ``policies/guards.toml``: when a sender's mail goes badly, and what is done then."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from penstock.policy.fields import Duration, Shown, Table, text_form
from penstock.policy.guards import ACTIONS, Metric, Per, percent_text
from penstock.policy.problem import nearest
from penstock.policy.source_models import Name

GUARDS_MAX = 100
WINDOW_S_MAX = 7 * 86_400.0
_PERCENT = r"\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*"


def _percent(value: object) -> object:
    found = re.fullmatch(_PERCENT, value) if isinstance(value, str) else None
    if found is None:
        raise ValueError('expected a percentage in quotes, like "0.2%"')
    share = float(found[1]) / 100
    if not 0 < share <= 1:
        raise ValueError("must be more than 0% and at most 100%")
    return share


def _action(text: str) -> str:
    if text == "slow":
        raise ValueError('"slow" is not there yet: a guard can "tell" or "pause"')
    if text not in ACTIONS:
        near = nearest(text, ACTIONS)
        hint = f'; did you mean "{near}"?' if near else ""
        raise ValueError(f'a guard can "tell" or "pause", not {text!r}{hint}')
    return text


Percent = Annotated[
    float,
    BeforeValidator(_percent),
    Shown('percentage, like "0.2%"', percent_text, (text_form(_PERCENT, "0.2%"),)),
]
Action = Annotated[
    str, AfterValidator(_action), Shown('`"tell"` or `"pause"`', forms=({"enum": list(ACTIONS)},))
]


class GuardTable(Table):
    """One guard: a share that must not be exceeded, and what happens when it is."""

    metric: Metric = Field(description="What is counted.")
    above: Percent = Field(description="It trips when the share is above this.")
    window: Duration = Field(
        default=3600.0, ge=300, le=WINDOW_S_MAX, description="Counted over this time, up to now."
    )
    sample_min: int = Field(
        default=500,
        ge=1,
        le=1_000_000_000,
        description="With fewer recipients in the window the share says nothing.",
    )
    per: Per = Field(default="campaign", description="Whose mail is counted together.")
    action: Action = Field(
        default="tell", description="An event and a metric alone, or that mail is suspended too."
    )
    for_: Duration = Field(
        default=3600.0,
        ge=60,
        le=30 * 86_400.0,
        alias="for",
        description="How long a pause lasts.",
    )


class GuardsFile(Table):
    """``policies/guards.toml``."""

    guard: dict[Name, GuardTable] = Field(
        default={}, max_length=GUARDS_MAX, description="Guards by name."
    )
