"""What changes between two sets of reply rules: rules that came, went, or say something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.policy.change import Change
from penstock.policy.replies import ReplyRule, ReplyRules
from penstock.policy.units import duration_text


def replies(old: ReplyRules, new: ReplyRules) -> Iterator[Change]:
    """By the rules' names; then where the same rules of a provider stand in another order."""
    for name in sorted({*old.by_name, *new.by_name}):
        scope = f"reply rule {name}"
        before, after = old.by_name.get(name), new.by_name.get(name)
        if before is None or after is None:
            had, has = (one.category.value if one else "" for one in (before, after))
            yield Change(scope, "", had, has, after.at if after else None)
            continue
        was, is_now = _fields(before), _fields(after)
        for field, text in is_now.items():
            if was[field] != text:
                yield Change(scope, field, was[field], text, after.at)
    for provider in sorted({*old.by_provider} & {*new.by_provider}):
        before_order = [rule.name for rule in old.by_provider[provider]]
        after_order = [rule.name for rule in new.by_provider[provider]]
        kept = set(before_order) & set(after_order)
        if [n for n in before_order if n in kept] != [n for n in after_order if n in kept]:
            yield Change(f"reply rules {provider}", "order", "as it was", "another")


def _fields(rule: ReplyRule) -> dict[str, str]:
    """What a rule says, by the keys of its file. Samples say nothing that it does not do."""
    found: dict[str, Any] = {
        "category": rule.category.value,
        "fault": rule.fault.value if rule.fault else "",
        "match": rule.pattern.pattern if rule.pattern else "",
        "code": rule.code,
        "status": rule.status,
        "phase": ", ".join(sorted(phase.value for phase in rule.phases)),
        "key": rule.key,
        "threshold": rule.threshold or "",
        "action": rule.action,
        "to": rule.to or "",
        "for": duration_text(rule.for_s) if rule.for_s else "",
        "for_max": duration_text(rule.for_max_s) if rule.for_max_s else "",
    }
    return {key: str(value) for key, value in found.items()}
