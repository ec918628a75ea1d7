"""The shape of ``warmup/NAME.toml`` under ``policies/``: a plan by which a new source is warmed.

The file's name is the plan's; a source names it in ``sources.toml``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PlainValidator

from penstock.policy.fields import Shown, StandIn, Table, text_form
from penstock.policy.models import Fraction
from penstock.policy.source_models import Name
from penstock.policy.warmup import HOURS, Gates
from penstock.policy.window import WINDOW_PATTERN, Window

STAGES_MAX = 366
MESSAGES_MAX = 1_000_000_000
PROVIDERS_MAX = 1000
_GATES = Gates()


def _window(value: object) -> Window:
    if isinstance(value, Window):
        return value
    if isinstance(value, str):
        return Window.parse(value)
    raise ValueError('expected a window, like "daily 08:00-20:00 Europe/Berlin"')


Hours = Annotated[
    Window,
    PlainValidator(_window),
    Shown(
        'window, like "daily 08:00-20:00 Europe/Berlin"',
        forms=(text_form(WINDOW_PATTERN, "daily 08:00-20:00 Europe/Berlin"),),
    ),
]
Messages = Annotated[int, Field(ge=1, le=MESSAGES_MAX)]
Share = Annotated[Fraction, Field(ge=0, le=1)]


class GatesTable(Table):
    """What a day must come to before the next stage. Shares are from 0 to 1."""

    volume: Share = Field(
        default=_GATES.volume, description="This share of the day's messages was sent, at least."
    )
    deferral: Share = Field(
        default=_GATES.deferral,
        description="Attempts deferred, at most; greylisting does not count.",
    )
    bounce: Share = Field(default=_GATES.bounce, description="Recipients refused, at most.")
    complaint: Share = Field(
        default=_GATES.complaint, description="Complaints per delivered message, at most."
    )
    block: Share = Field(
        default=_GATES.block,
        description="Attempts refused for the source's reputation; more stop and set it back.",
    )
    sample: int = Field(
        default=_GATES.sample,
        ge=1,
        le=1_000_000,
        description="Attempts in a day below which no share of them says anything.",
    )
    block_sample: int = Field(
        default=_GATES.block_sample, ge=1, le=1_000_000, description="The same for blocks."
    )
    complaint_sample: int = Field(
        default=_GATES.complaint_sample,
        ge=1,
        le=1_000_000,
        description="Delivered messages below which complaints say nothing.",
    )


class WarmupProviderTable(Table):
    """What holds at one provider instead; ``other`` is for domains of no provider."""

    share: Share | None = Field(
        default=None, description="This share of the plan's `messages` at each stage."
    )
    messages: tuple[Messages, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=STAGES_MAX,
        description="Messages a day, stage by stage, instead of the plan's.",
    )


class WarmupFile(Table):
    """``policies/warmup/NAME.toml``."""

    messages: Annotated[tuple[Messages, ...], StandIn([1])] = Field(
        min_length=1,
        max_length=STAGES_MAX,
        description="Messages a day that one source may send to one provider, stage by stage.",
    )
    share: Share = Field(
        default=1.0, gt=0, description="What part of them a provider gets that is not named below."
    )
    hours: Hours = Field(
        default=Window.parse(HOURS),
        description="When they may go, spread over these hours; transactional mail goes at any.",
    )
    hour_max: Share = Field(
        default=0.25, gt=0, description="The share of a day's messages that may go in one hour."
    )
    transactional: Share = Field(
        default=0.2, le=0.9, description="The share of a day that is kept for transactional mail."
    )
    idle_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="After so many days without mail to a provider the source is warmed again.",
    )
    step_back: int = Field(
        default=2, ge=1, le=STAGES_MAX, description="Stages that a block sets it back."
    )
    gates: GatesTable = Field(
        default=GatesTable(), description="What a day must come to before the next stage."
    )
    provider: dict[Name, WarmupProviderTable] = Field(
        default={}, max_length=PROVIDERS_MAX, description="What holds at one provider instead."
    )
