"""What changes between two policies, by meaning and not by text.

Shown at a reload, before the swap: which scope, which value, from what to what. A comment, a moved
line or a value written in another way is no change. A scope is reported for what it says itself;
what it merely inherits is reported once, where it is set.
"""

from __future__ import annotations

from collections.abc import Iterator

from penstock.policy.change import Change, value_text
from penstock.policy.difference_guards import guards
from penstock.policy.difference_replies import replies
from penstock.policy.difference_senders import senders
from penstock.policy.limits import FIELDS, Limits
from penstock.policy.merge import EMPTY, Layer, merge
from penstock.policy.policies import Policies, Provider


def difference(old: Policies, new: Policies) -> list[Change]:
    """Every change from ``old`` to ``new``: default first, then providers, sites, domains, what is
    narrowed, then where mail leaves from, whose it is, the rules for replies, and the guards."""
    return [
        *_limits("default", [], old.default, [], new.default),
        *_providers(old, new),
        *_named("site", old, new),
        *_named("domain", old, new),
        *_narrows(old, new),
        *senders(old, new),
        *replies(old.replies, new.replies),
        *guards(old.guards, new.guards),
    ]


def _providers(old: Policies, new: Policies) -> Iterator[Change]:
    nobody = Provider("", (), (), EMPTY)
    for name in sorted({*old.providers, *new.providers}):
        scope = f"provider {name}"
        before, after = old.providers.get(name, nobody), new.providers.get(name, nobody)
        if before is nobody:
            yield Change(scope, "", "", "provider")
        elif after is nobody:
            yield Change(scope, "", "provider", "")
            continue
        yield from _members(scope, "mx", before.mx, after.mx)
        yield from _members(scope, "domains", before.domains, after.domains)
        yield from _limits(scope, [old.default], before.layer, [new.default], after.layer)


def _named(kind: str, old: Policies, new: Policies) -> Iterator[Change]:
    before, after = (getattr(policies, f"{kind}s") for policies in (old, new))
    for name in sorted({*before, *after}):
        yield from _limits(
            f"{kind} {name}",
            [old.default],
            before.get(name, EMPTY),
            [new.default],
            after.get(name, EMPTY),
        )


def _narrows(old: Policies, new: Policies) -> Iterator[Change]:
    """What a narrowing says itself: it may lie above any layer, so nothing is merged."""
    before, after = ({one.scope: one for one in policies.narrows} for policies in (old, new))
    for name in sorted({*before, *after}):
        was = before[name].layer if name in before else EMPTY
        now = after[name].layer if name in after else EMPTY
        for field in FIELDS:
            if field not in was.values and field not in now.values:
                continue
            had, has = _text(was, field), _text(now, field)
            if had != has:
                yield Change(f"narrow {name}", field, had, has, now.places.get(field))


def _text(layer: Layer, field: str) -> str:
    return value_text(layer.values[field]) if field in layer.values else ""


def _members(
    scope: str, field: str, before: tuple[str, ...], after: tuple[str, ...]
) -> Iterator[Change]:
    for gone in sorted({*before} - {*after}):
        yield Change(scope, field, gone, "")
    for added in sorted({*after} - {*before}):
        yield Change(scope, field, "", added)


def _limits(
    scope: str, old_below: list[Layer], old: Layer, new_below: list[Layer], new: Layer
) -> Iterator[Change]:
    before = merge(Limits(), [*old_below, old])
    after = merge(Limits(), [*new_below, new])
    for name in FIELDS:
        if name not in old.values and name not in new.values:
            continue
        was, is_now = getattr(before, name), getattr(after, name)
        if was != is_now:
            yield Change(scope, name, value_text(was), value_text(is_now), after.where(name))
