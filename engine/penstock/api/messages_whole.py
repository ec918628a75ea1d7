"""A message that is the body of its request, with its envelope in the query."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api.access import Caller
from penstock.api.injection import Order, Piece
from penstock.api.injection_raw import Raw
from penstock.api.messages_labels import Labels, Rules, marked
from penstock.api.messages_models import RECIPIENTS_MAX, Person
from penstock.api.messages_order import HEAVY_BYTES, answer, given_of, mailbox_of
from penstock.api.problem import FieldError, invalid
from penstock.policy.problem import suggestion

_ONCE = (
    *("from", "tenant", "campaign", "class", "pool", "deliver_at", "expires_at"),
    "durability",
)
_OFTEN = ("to", "tag", "metadata")
_DURABILITIES = ("fsync", "memory")


def order_of_whole(
    content: bytes, query: Sequence[tuple[str, str]], caller: Caller, rules: Rules
) -> Order:
    """Raises a 422 that says what is wrong with which parameter."""
    once, often = _sorted(query)
    to = often["to"]
    errors = []
    if "from" not in once:
        errors.append(FieldError("query from", "missing: the envelope sender; empty for none"))
    if not to:
        errors.append(FieldError("query to", "missing: give at least one recipient"))
    elif len(to) > RECIPIENTS_MAX:
        errors.append(FieldError("query to", f"{len(to)} recipients; at most {RECIPIENTS_MAX}"))
    durability = once.get("durability", "fsync")
    if durability not in _DURABILITIES:
        errors.append(FieldError("query durability", f"none of {', '.join(_DURABILITIES)}"))
    if errors:
        raise invalid(errors)
    labels = Labels(
        once.get("tenant", ""),
        once.get("campaign", ""),
        once.get("class", ""),
        once.get("pool", ""),
        _pairs(often["tag"], "query tag"),
        _pairs(often["metadata"], "query metadata"),
        once.get("deliver_at", ""),
        once.get("expires_at", ""),
    )
    envelope = marked(labels, caller, rules)
    if once["from"]:
        envelope.sender = mailbox_of(Person(email=once["from"]), "query from").address
        envelope.smtputf8 = not envelope.sender.isascii()
    raw = Raw(content, rules, "body")
    given, _ = given_of(Person(email=one) for one in to)
    pieces = [Piece(given, raw, {}, len(content) > HEAVY_BYTES)]
    return Order(envelope, pieces, answer, durability == "memory")


def _sorted(query: Sequence[tuple[str, str]]) -> tuple[dict[str, str], dict[str, list[str]]]:
    once: dict[str, str] = {}
    often: dict[str, list[str]] = {name: [] for name in _OFTEN}
    errors = []
    for name, value in query:
        if name in often:
            often[name].append(value)
        elif name not in _ONCE:
            hint = suggestion(name, (*_ONCE, *_OFTEN), "there are")
            errors.append(FieldError(f"query {name[:60]}", f"no such parameter; {hint}"))
        elif name in once:
            errors.append(FieldError(f"query {name}", "given twice"))
        else:
            once[name] = value
    if errors:
        raise invalid(errors)
    return once, often


def _pairs(values: Sequence[str], field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in values:
        name, equals, value = one.partition("=")
        if not equals:
            raise invalid([FieldError(field, f'"{one[:60]}" is not name=value')])
        found[name] = value
    return found
