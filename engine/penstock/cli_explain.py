"""``penstock explain``: why mail waits, when it goes, and which line of which file says so.

The first line is the answer. What follows is what it rests on: every limit on the way with what is
in use of it, the last replies, the orders of operators. Of several messages each gets its line, and
limits that they share are shown once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from penstock.cli_show import REPLY_CHARS_MAX, ago, console, operation_text, plain, time_left

Explanation = Mapping[str, Any]
_FIELDS = {
    "connections": "connections",
    "connection_rate": "connection rate",
    "message_rate": "message rate",
    "byte_rate": "byte rate",
    "not_before": "not before",
    "warm_up": "warm-up",
    "window": "sending window",
}
# What to do about it, for each word of penstock.relay.waits; docs/deliverability.md has more.
ADVICE: dict[str, str] = {
    "in-flight": "",
    "turn": "it goes when what is ahead of it is through; more connections or a higher class help",
    "reading": "",
    "scheduled": "penstock queue retry sends it now",
    "window": "its window is set in policies/tenants.toml; penstock queue retry does not open it",
    "retry": "see the last reply; penstock queue retry tries it now",
    "resolving": "",
    "dns-failed": "ask the name servers yourself (dig MX); penstock queue retry asks them again",
    "suspended": "penstock queue cancel ID ends the suspension below",
    "bouncing": "penstock queue cancel ID stops it, for what is not given up yet",
    "source-down": "give the machine the address, or penstock queue reroute --to-pool POOL",
    "connecting": "",
    "connection-limit": "raise the limit that binds, if the provider allows it",
    "connection-rate": "raise the limit that binds, if the provider allows it",
    "message-rate": "raise the limit that binds, if the provider allows it",
    "byte-rate": "raise the limit that binds, if the provider allows it",
    "pace": 'the pace follows the provider\'s replies; adaptive = "off" in its policy ends it',
    "paused": 'see why in the line that binds; adaptive = "off" in its policy ends the pause',
    "warm-up": "add a source to the pool that is warm, or see penstock warmup show",
    "unreachable": "see the last reply; penstock queue retry ends the pause",
    "worker-connections": "raise relay.connections_max in the settings",
    "reporting": "",
    "stopping": "it goes when the daemon runs again",
}


def show_explanations(answer: Mapping[str, Any]) -> None:
    """What ``explain`` of the control socket answered."""
    out = console()
    now = time.time()
    found: Sequence[Explanation] = answer["explanations"]
    if len(found) == 1:
        _show_one(out, found[0], now)
    else:
        _show_several(out, found, int(answer["more"]), now)
    if answer.get("away"):
        numbers = ", ".join(map(str, answer["away"]))
        out.print(f"\nworker {numbers} could not be asked: it is starting")


def sentence(one: Explanation, now: float) -> str:
    """The answer in one line: what it waits for, who set that, when it goes."""
    text = str(one.get("reason_text") or f"waits: {one['reason']}")
    binds = one.get("binds")
    if not binds:
        said = text
    elif str(binds["scope"]).startswith("pace of "):
        what = _limit(binds).removeprefix("message ")
        said = f"waits for the {binds['scope']}, {what} {binds['value']}: {binds['where']}"
    elif binds["field"] in _FIELDS:
        said = f"waits: {_limit(binds)} of {binds['scope']}, {binds['value']}{_set(binds)}"
    else:
        said = f"{text}: {binds['scope']}, {binds['value']}, by {binds['where']}"
    if one.get("suppressed"):
        return f"{said}; then it is given up, since the address is suppressed: {_entry(one)}"
    following = _next(one, now)
    return f"{said}; next attempt {following}" if following else said


def _entry(one: Explanation) -> str:
    """The entry of the suppression list that stands against it."""
    entry = one["suppressed"]
    whose = f"by {entry['tenant']}" if entry["tenant"] else "for all tenants"
    until = f" until {entry['until']}" if entry["until"] else ""
    return f"{entry['reason']} since {entry['since']}{until}, {whose}"


def _show_one(out: Console, one: Explanation, now: float) -> None:
    out.print(plain(sentence(one, now)), style="bold")
    advice = ADVICE.get(str(one["reason"]), "")
    if advice:
        out.print(f"what to do: {plain(advice)}")
    out.print()
    out.print(_facts(one, now))
    _show_limits(out, one)
    _show_replies(out, one, now)
    _show_rules(out, one.get("rules") or (), now)
    _show_guards(out, one.get("guards") or (), now)


def _show_several(out: Console, found: Sequence[Explanation], more: int, now: float) -> None:
    counted = any("queued" in one for one in found)
    table = _table("id", "recipient", "state", *(["queued with it"] if counted else []), "why")
    for one in found:
        cells = [one["id"], one["recipient"], one["state"], sentence(one, now)]
        if counted:
            cells.insert(3, one.get("queued", ""))
        table.add_row(*map(plain, cells))
    out.print(table)
    if more:
        out.print(f"and {more} more; penstock queue list shows them")
    shown: set[tuple[str, ...]] = set()
    for one in found:
        keys = tuple(str(cap["key"]) for cap in one.get("caps") or ())
        if keys not in shown:
            shown.add(keys)
            _show_limits(out, one)
    rules = {rule["id"]: rule for one in found for rule in one.get("rules") or ()}
    _show_rules(out, rules.values(), now)
    trips = {trip["id"]: trip for one in found for trip in one.get("guards") or ()}
    _show_guards(out, trips.values(), now)


def _facts(one: Explanation, now: float) -> Table:
    queue = one.get("queue") or {}
    table = Table(box=None, pad_edge=False, show_header=False)
    by = _by(one, "class_where")
    facts = {
        "message": one["id"],
        "from": one["sender"] or "<>",
        "to": one["recipient"],
        "state": f"{one['state']} ({one['reason']})",
        "tenant": queue.get("tenant"),
        "campaign": queue.get("campaign"),
        "class": f"{queue['class']}{by}" if queue.get("class") else "",
        "pool": f"{queue['pool']}{_by(one, 'pool_where')}" if queue.get("pool") else "",
        "source": one.get("source"),
        "provider": one.get("provider"),
        "site": one.get("site"),
        "ahead of it": one.get("position"),
        "queued with it": one.get("queued"),
        "attempts": one["attempts"],
        "accepted": f"{ago(now - one['accepted_at'])} ago" if one.get("accepted_at") else "",
        "expires": _moment(one.get("expires"), now),
        "worker": one.get("worker"),
    }
    for name, value in facts.items():
        if value not in ("", None):
            table.add_row(name, plain(value))
    return table


def _show_limits(out: Console, one: Explanation) -> None:
    """Those that are counted with what is in use of them, then what else decides how it goes."""
    caps = one.get("caps") or ()
    if not caps:
        return
    queue = one.get("queue") or {}
    whose = "/".join(
        filter(None, (queue.get("domain"), queue.get("tenant"), queue.get("campaign")))
    )
    source = f" from {one['source']}" if one.get("source") else ""
    out.print(f"\nlimits on the way of {plain(whose or one['recipient'])}{plain(source)}:")
    table = _table("", "whose", "limit", "value", "in use", "set by")
    for cap in caps:
        binding = bool(cap.get("binds"))
        table.add_row(
            "->" if binding else "",
            plain(cap["scope"]),
            plain(_limit(cap)),
            plain(_value(cap)),
            plain(_use(cap)) if cap["key"] else "",
            plain(cap.get("where") or ""),
            style="bold" if binding else "",
        )
    out.print(table)
    if any(cap.get("binds") for cap in caps):
        out.print("-> binds now")


def _show_replies(out: Console, one: Explanation, now: float) -> None:
    replies = one.get("last_replies") or ()
    if not replies:
        return
    out.print("\nlast replies:")
    table = Table(box=None, pad_edge=False, show_header=False)
    for heard in replies:
        at = f"{ago(now - heard['at'])} ago" if heard.get("at") else ""
        table.add_row(
            plain(at),
            plain(heard.get("host") or ""),
            plain(str(heard["reply"])[:REPLY_CHARS_MAX]),
            plain(_said(heard)),
        )
    out.print(table)


def _said(heard: Mapping[str, Any]) -> str:
    """``throttled (gmail/rate-ip)``: what the reply says, and the rule that knows."""
    category, rule = heard.get("category") or "", heard.get("rule") or ""
    return f"{category} ({rule})" if rule else str(category)


def _show_rules(out: Console, rules: Iterable[Mapping[str, Any]], now: float) -> None:
    lines = [
        f"  {rule['id']}  {operation_text(rule)}, {time_left(rule, now)}, by {rule['who'] or '-'}"
        f"{': ' + rule['reason'] if rule['reason'] else ''}"
        for rule in rules
    ]
    if lines:
        out.print("\norders of operators that fit it:")
    for line in lines:
        out.print(plain(line), soft_wrap=True)


def _show_guards(out: Console, trips: Iterable[Mapping[str, Any]], now: float) -> None:
    """What went badly with mail of this kind lately, and what followed."""
    lines = [
        f"  {ago(now - trip['at'])} ago  guard {trip['guard']} ({trip['where']}): "
        f"{trip['reason']}; "
        + ("mail was suspended" if trip["action"] == "pause" else "it only tells")
        for trip in trips
    ]
    if lines:
        out.print("\nguards that tripped for it:")
    for line in lines:
        out.print(plain(line), soft_wrap=True)


def _next(one: Explanation, now: float) -> str:
    """``in about 3 s``, to stand behind *next attempt*; ``""`` where that is out of place."""
    if one["state"] == "in-flight":
        return ""
    if one.get("next_attempt_text"):
        return str(one["next_attempt_text"])
    at = float(one.get("next_attempt") or 0)
    if not at:
        return ""
    seconds = at - now
    return "at any moment" if seconds < 1 else f"in about {_rough(seconds)}"


def _rough(seconds: float) -> str:
    return f"{round(seconds)} s" if seconds < 120 else ago(seconds)


def _limit(cap: Mapping[str, Any]) -> str:
    field = str(cap["field"])
    return _FIELDS.get(field, field.removesuffix("_s").replace("_", " "))


def _value(cap: Mapping[str, Any]) -> str:
    return f"{cap['value']} s" if str(cap["field"]).endswith("_s") else str(cap["value"])


def _set(binds: Mapping[str, Any]) -> str:
    return f", set in {binds['where']}" if binds.get("where") else ""


def _by(one: Explanation, name: str) -> str:
    return f" ({one[name]})" if one.get(name) else ""


def _use(cap: Mapping[str, Any]) -> str:
    used, free = cap.get("used"), cap.get("free")
    if used is None:
        return "-"
    if free is None:
        return _count(used)
    rest = f"{_count(-free)} owed" if free < 0 else f"{_count(free)} free"
    waiting = f", {cap['waiting']} workers wait" if cap.get("waiting") else ""
    return f"{_count(used)}, {rest}{waiting}"


def _count(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:g}"


def _moment(at: object, now: float) -> str:
    if not isinstance(at, int | float) or not at:
        return ""
    return f"in {ago(at - now)}" if at > now else "now"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in ("", "id", "state"))
    return table
