"""Selectors as operators give them: checked against what there is, so that a typo holds no mail."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from penstock.control import ControlError
from penstock.daemon.operations import SELECTOR_FIELDS
from penstock.policy.names import plain_name
from penstock.policy.policies import Policies
from penstock.policy.problem import suggestion

CLASSES = ("transactional", "triggered", "bulk")
DEFAULT = "default"  # the source and the pool that there are where none is defined
VALUE_CHARS_MAX = 300
_NAMED = ("provider", "source", "pool", "class")


def parse_selector(params: Mapping[str, Any], *, required: bool = True) -> dict[str, str]:
    """The selector of a call, its domain in the form that is compared."""
    given = params.get("selector") or {}
    if not isinstance(given, Mapping):
        raise ControlError("bad-selector", "a selector is a table of fields and values")
    selector = {str(name): str(value) for name, value in given.items() if value != ""}
    for name, value in selector.items():
        if name not in SELECTOR_FIELDS:
            hint = suggestion(name, SELECTOR_FIELDS)
            raise ControlError("bad-selector", f"unknown field {name!r} of a selector; {hint}")
        if len(value) > VALUE_CHARS_MAX:
            raise ControlError("bad-selector", f"{name}: over {VALUE_CHARS_MAX} characters")
    if required and not selector:
        raise ControlError("bad-selector", f"say which mail: one of {', '.join(SELECTOR_FIELDS)}")
    if "domain" in selector:
        selector["domain"] = plain_name(selector["domain"])
    return selector


def check_names(selector: Mapping[str, str], policies: Policies) -> None:
    """Refuse names that no policy knows. Tenants, campaigns and domains may be any."""
    for field in _NAMED:
        if field in selector:
            check_name(field, selector[field], policies)


def check_name(field: str, name: str, policies: Policies) -> None:
    """``field`` is provider, source, pool or class; names the nearest where ``name`` is none."""
    known = names(field, policies)
    if name in known:
        return
    hint = suggestion(name, known, "there are")
    raise ControlError("unknown-name", f"no {field} {name!r}{'; ' if hint else ''}{hint}")


def names(field: str, policies: Policies) -> Collection[str]:
    """What there is of ``field`` in the policies in force."""
    if field == "provider":
        return set(policies.providers)
    if field == "class":
        return {*CLASSES, *getattr(policies, "classes", ())}
    return set(getattr(policies, f"{field}s", ())) or {DEFAULT}
