"""``replies/NAME.toml`` as rules, with what contradicts in them.

That each rule matches its samples, and that no other takes them from it, is found where all rules
are together: ``penstock.feedback.samples``.
"""

from __future__ import annotations

from penstock.mail.outcome import Phase
from penstock.mail.verdict import Category, Fault
from penstock.policy.limits import Provenance
from penstock.policy.merge import place_of
from penstock.policy.patterns import compiled
from penstock.policy.problem import Path, quoted
from penstock.policy.replies import BOUNCE, RETRY, ReplyRule, Sample
from penstock.policy.reply_models import ReplyFile, ReplyRuleTable
from penstock.policy.validation import Checked

FOR_S = 30 * 60.0  # where a rule says for how long only by what it does
FOR_MAX_FACTOR = 16  # doubled four times
_LASTING = (
    *("slow", "fewer-connections", "suspend", "other-source"),
    *("suspend-tenant", "suspend-campaign"),
)


def load_replies(checked: Checked[ReplyFile]) -> tuple[ReplyRule, ...]:
    """The rules of one file, in its order."""
    if checked.value is None:
        return ()
    provider = checked.value.provider
    seen: dict[str, Provenance] = {}
    rules = []
    for index, table in enumerate(checked.value.rule):
        path: Path = ("rule", index)
        _contradictions(table, checked, path)
        first = seen.setdefault(table.name, place_of(checked, (*path, "name")))
        if first != place_of(checked, (*path, "name")):
            message = f"there is a rule {quoted(table.name)} in {first} already"
            checked.contradict((*path, "name"), message, about=[(*path, "name")])
        rules.append(_rule(provider, table, checked, path))
    return tuple(rules)


def _rule(
    provider: str, table: ReplyRuleTable, checked: Checked[ReplyFile], path: Path
) -> ReplyRule:
    lasting = table.action in _LASTING
    for_s = table.for_ or (FOR_S if lasting else 0.0)
    return ReplyRule(
        provider,
        table.name,
        Category(table.category),
        Fault(table.fault) if table.fault else None,
        compiled(table.match) if table.match else None,
        table.code or "",
        table.status or "",
        frozenset(map(Phase, table.phase)),
        table.key or "",
        table.threshold,
        table.action or "",
        table.to,
        for_s,
        max(table.for_max or for_s * FOR_MAX_FACTOR, for_s),
        _samples(table.matches, checked, (*path, "matches")),
        _samples(table.not_, checked, (*path, "not")),
        place_of(checked, path),
    )


def _samples(texts: tuple[str, ...], checked: Checked[ReplyFile], path: Path) -> tuple[Sample, ...]:
    return tuple(
        Sample(text, place_of(checked, (*path, index))) for index, text in enumerate(texts)
    )


def _contradictions(table: ReplyRuleTable, checked: Checked[ReplyFile], path: Path) -> None:
    def wrong(key: str, message: str, *about: str) -> None:
        keys = [(*path, name) for name in (key, *about)]
        checked.contradict((*path, key) if key in written else path, message, about=keys)

    fields = type(table).model_fields
    written = {fields[name].alias or name for name in table.model_fields_set}
    if not table.match and not table.status:
        wrong("match", "nothing tells the reply; match or status is needed", "status")
    if table.action == "slow" and table.to is None:
        wrong("action", "slow to what? the key to is missing", "to")
    if table.to is not None and table.action != "slow":
        wrong("to", 'this is for action = "slow" only', "action")
    if table.for_ is not None and table.action not in _LASTING:
        wrong("for", f"this is for the actions {', '.join(_LASTING)} only", "action")
    if table.for_max is not None and (table.for_ or FOR_S) > table.for_max:
        wrong("for_max", "this is shorter than for", "for")
    if table.threshold is not None and table.action in (None, BOUNCE, RETRY):
        wrong("threshold", "nothing waits for it: bounce and retry are for each reply", "action")
