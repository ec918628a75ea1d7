"""What a call says of its mail beside the mail itself: whose it is, how and when it goes.

The rules are those of the ``X-Penstock-*`` fields of mail that comes by SMTP, and so are the words:
a pool that was misspelt is refused with the name that was probably meant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from penstock.api.access import Caller
from penstock.api.problem import FieldError, invalid
from penstock.intake.control import (
    ANYTHING,
    TAG_VALUE_CHARS_MAX,
    TAGS_MAX,
    ControlRules,
    assign,
)
from penstock.mail.envelope import LABEL_CHARS, Envelope, is_label
from penstock.mail.template import TemplateCache

DELIVER_AT_MAX_S = 31 * 86_400.0
METADATA_MAX = 32
METADATA_NAME_CHARS_MAX = 64
METADATA_VALUE_CHARS_MAX = 512
METADATA_BYTES_MAX = 8192
# How our fields are called, by what they are called in a header.
_FIELDS = {"deliver-at": "deliver_at", "expires": "expires_at"}
_HEADER_WORDS = {"X-Penstock-Deliver-At": "deliver_at"}


@dataclass(frozen=True, slots=True)
class Labels:
    """As the client gave them; empty: not given."""

    tenant: str = ""
    campaign: str = ""
    class_: str = ""
    pool: str = ""
    tags: Mapping[str, str] | None = None
    metadata: Mapping[str, str] | None = None
    deliver_at: str = ""
    expires_at: str = ""


@dataclass(frozen=True, slots=True)
class Rules:
    """``pools`` gives the names of those that there are; ``templates``: those compiled lately."""

    pools: Callable[[], Collection[str]]
    hostname: str
    now: Callable[[], float]
    templates: TemplateCache

    @property
    def control(self) -> ControlRules:
        return ControlRules(self.pools, DELIVER_AT_MAX_S)


def marked(labels: Labels, caller: Caller, rules: Rules) -> Envelope:
    """An envelope with all that the messages of a call have in common, but its sender. Raises a
    422 that names every field that is wrong, and a 403 where it is another tenant's."""
    now = rules.now()
    envelope = Envelope("", [], now, account=caller.key, client=caller.client)
    envelope.tenant = caller.tenant_of(labels.tenant)
    said = {
        "campaign": labels.campaign,
        "class": labels.class_,
        "pool": labels.pool,
        "deliver-at": labels.deliver_at,
        "expires": labels.expires_at,
    }
    if labels.tenant:
        said["tenant"] = labels.tenant
    given = {name: value for name, value in said.items() if value}
    errors: list[FieldError] = []
    if given:
        for name, error in assign(envelope, given, ANYTHING, rules.control, now):
            field = _FIELDS.get(name, name)
            errors.append(FieldError(field, _in_our_words(str(error))))
    if labels.tags:
        errors += _bad_tags(labels.tags)
        envelope.tags = dict(labels.tags)
    if labels.metadata:
        errors += bad_metadata(labels.metadata)
        envelope.metadata = dict(labels.metadata)
    if errors:
        raise invalid(errors)
    return envelope


def _in_our_words(text: str) -> str:
    for header, field in _HEADER_WORDS.items():
        text = text.replace(header, field)
    return text


def _bad_tags(tags: Mapping[str, str]) -> list[FieldError]:
    errors = []
    if len(tags) > TAGS_MAX:
        errors.append(FieldError("tags", f"{len(tags)} tags; at most {TAGS_MAX}"))
    for name, value in tags.items():
        if not is_label(name):
            errors.append(FieldError("tags", f'the name "{name[:60]}" is not {LABEL_CHARS}'))
        elif len(value) > TAG_VALUE_CHARS_MAX:
            errors.append(
                FieldError(f"tags.{name}", f"longer than {TAG_VALUE_CHARS_MAX} characters")
            )
    return errors


def bad_metadata(metadata: Mapping[str, str], field: str = "metadata") -> list[FieldError]:
    """What is wrong with it: it goes along with every event, so it is bounded."""
    if len(metadata) > METADATA_MAX:
        return [FieldError(field, f"{len(metadata)} entries; at most {METADATA_MAX}")]
    errors, size = [], 0
    for name, value in metadata.items():
        size += len(name) + len(value)
        if not 0 < len(name) <= METADATA_NAME_CHARS_MAX or not name.isprintable():
            errors.append(
                FieldError(
                    field,
                    f'the name "{name[:60]}" is not 1 to {METADATA_NAME_CHARS_MAX} printable '
                    "characters",
                )
            )
        elif len(value) > METADATA_VALUE_CHARS_MAX:
            errors.append(
                FieldError(f"{field}.{name}", f"longer than {METADATA_VALUE_CHARS_MAX} characters")
            )
    if not errors and size > METADATA_BYTES_MAX:
        errors.append(FieldError(field, f"over {METADATA_BYTES_MAX} characters in all"))
    return errors
