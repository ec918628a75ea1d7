"""The shape of ``policies/replies/NAME.toml``: how one provider words its refusals.

``provider`` names whose replies they are, ``"any"`` those of everybody; each ``[[rule]]`` says how
to tell a reply, what it means and, where that is not enough, what to do. A rule carries samples
of replies that it must match: a rule nobody can try is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator

from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Fault
from penstock.policy.fields import Duration, Shown, Table, text_form
from penstock.policy.patterns import compiled, risk
from penstock.policy.problem import suggestion
from penstock.policy.rate import RATE_PATTERN, Rate
from penstock.policy.replies import ACTIONS, KEYS

RULES_MAX = 1000
SAMPLES_MAX = 50
SAMPLE_CHARS_MAX = 2000
_NAME = r"[a-z0-9](?:[a-z0-9._-]{0,46}[a-z0-9])?"
_CODE = r"[45](?:[0-9][0-9]|xx)"
_STATUS = r"[45*]\.(?:[0-9]{1,3}|\*)\.(?:[0-9]{1,3}|\*)"


def _form(pattern: str, message: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{message}, not {text!r}")
        return text

    return check


def _one_of(what: str, names: Collection[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in names:
            hint = suggestion(text, names, "there are") or f"there are {', '.join(names)}"
            raise ValueError(f"not {what}: {text!r}; {hint}")
        return text

    return check


def _expression(text: str) -> str:
    try:
        found = compiled(text)
    except ValueError as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if found.search(""):
        raise ValueError("it matches every reply, even an empty one")
    why = risk(text)
    if why:
        raise ValueError(why)
    return text


def _rate(value: object) -> Rate | None:
    if isinstance(value, str):
        return Rate.parse(value)
    if isinstance(value, Rate) or value is None:
        return value
    raise ValueError('expected a count and a period, like "3/h"')


def _choice(names: Collection[str]) -> Shown:
    return Shown(
        f"one of {', '.join(f'`{name}`' for name in names)}", forms=({"enum": list(names)},)
    )


_CATEGORIES = tuple(one.value for one in Category)
_FAULTS = tuple(one.value for one in Fault)
_PHASES = tuple(one.value for one in Phase)

ProviderLabel = Annotated[
    str,
    AfterValidator(_form(_NAME, "expected lower-case letters, digits and . _ -")),
    Shown("name", forms=(text_form(_NAME, "gmail", "any"),)),
]
RuleName = Annotated[
    str,
    AfterValidator(_form(_NAME, "expected lower-case letters, digits and . _ -")),
    Shown("name", forms=(text_form(_NAME, "rate-ip"),)),
]
CategoryName = Annotated[
    str, AfterValidator(_one_of("a category", _CATEGORIES)), _choice(_CATEGORIES)
]
FaultName = Annotated[str, AfterValidator(_one_of("a fault", _FAULTS)), _choice(_FAULTS)]
PhaseName = Annotated[str, AfterValidator(_one_of("a phase", _PHASES)), _choice(_PHASES)]
KeyName = Annotated[str, AfterValidator(_one_of("a key", KEYS)), _choice(KEYS)]
ActionName = Annotated[str, AfterValidator(_one_of("an action", ACTIONS)), _choice(ACTIONS)]
Expression = Annotated[str, AfterValidator(_expression), Shown("regular expression")]
CodeFilter = Annotated[
    str,
    AfterValidator(_form(_CODE, 'expected a code like "421", "4xx" or "5xx"')),
    Shown('code, like "421" or "4xx"', forms=(text_form(_CODE, "421", "4xx"),)),
]
StatusFilter = Annotated[
    str,
    AfterValidator(_form(_STATUS, 'expected an enhanced code like "4.7.28" or "*.7.28"')),
    Shown('enhanced code, like "4.7.28" or "*.7.28"', forms=(text_form(_STATUS, "4.7.28"),)),
]
SampleText = Annotated[
    str,
    AfterValidator(_form(rf"(?s)\S.{{0,{SAMPLE_CHARS_MAX - 1}}}", "expected a reply")),
    Shown("reply"),
]
CountInTime = Annotated[
    Rate | None,
    PlainValidator(_rate),
    Shown('count in a time, like "3/h"', str, (text_form(RATE_PATTERN, "3/h"),)),
]


class ReplyRuleTable(Table):
    """One way in which a reply is worded. `match` or `status` must be given."""

    name: RuleName = Field(description="Its name in this file; logs show `PROVIDER/NAME`.")
    category: CategoryName = Field(description="What the reply means.")
    fault: FaultName | None = Field(
        default=None, description="Whose trouble it is, where not the category's usual."
    )
    match: Expression | None = Field(
        default=None, description="Searched in the reply's text, whatever its case."
    )
    code: CodeFilter | None = Field(default=None, description="Only replies with this code.")
    status: StatusFilter | None = Field(
        default=None, description="Only replies with this enhanced status code."
    )
    phase: tuple[PhaseName, ...] = Field(
        default=(), description="Only replies at these points of the conversation."
    )
    key: KeyName | None = Field(
        default=None, description="What the reply names; without it the source as a whole."
    )
    threshold: CountInTime = Field(
        default=None, description="The action follows when as many came; without it the first."
    )
    action: ActionName | None = Field(
        default=None, description="What follows, where not what the category usually does."
    )
    to: CountInTime = Field(default=None, description="For `slow`: the rate to go to.")
    for_: Duration | None = Field(
        default=None,
        alias="for",
        gt=0,
        description="How long; doubles when it comes again soon after it ended.",
    )
    for_max: Duration | None = Field(default=None, gt=0, description="The longest it gets.")
    matches: tuple[SampleText, ...] = Field(
        min_length=1, max_length=SAMPLES_MAX, description="Replies that it must be what decides."
    )
    not_: tuple[SampleText, ...] = Field(
        default=(), alias="not", max_length=SAMPLES_MAX, description="Replies it must not match."
    )


class ReplyFile(Table):
    """``policies/replies/NAME.toml``."""

    provider: ProviderLabel = Field(
        description='Whose replies these are, as in `providers/`; `"any"`: those of everybody.'
    )
    rule: tuple[ReplyRuleTable, ...] = Field(
        default=(), max_length=RULES_MAX, description="In the order in which they are tried."
    )
