"""Events for people: which ones are meant, and each as a line to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events: every value that is not ``""`` must be there. ``recipient``: one of them."""

    message: str = ""
    recipient: str = ""
    tenant: str = ""
    campaign: str = ""
    type: str = ""
    until: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipient", self.recipient.lower())

    def maybe(self, line: bytes) -> bool:
        """Whether it is worth reading: cheap, and never False for one that is meant."""
        for value in (self.message, self.tenant, self.campaign, self.type):
            if value and value.isascii() and b'"%b"' % value.encode() not in line:
                return False
        return True

    def fits(self, event: Fields) -> bool:
        for name in ("message", "tenant", "campaign", "type"):
            value = getattr(self, name)
            if value and event.get(name, "") != value:
                return False
        if not self.recipient:
            return True
        people = [event.get("recipient", ""), *event.get("recipients", ())]
        return self.recipient in [one.lower() for one in people]


def read(line: bytes) -> Fields | None:
    """One line; ``None`` for what is no event."""
    try:
        event = msgspec.json.decode(line)
    except msgspec.MsgspecError:
        return None
    return event if isinstance(event, dict) and "type" in event and "at" in event else None


def told(event: Fields) -> str:
    """One line of plain text, whatever is in the event."""
    kind = str(event["type"])
    what = _ABOUT.get(kind, _rest)(event)
    text = f"{event['at']} {kind:<12} {what}"
    return "".join(one if one.isprintable() else "?" for one in text)


def _accepted(event: Fields) -> str:
    people = event.get("recipients", [])
    more = f" and {len(people) - 1} more" if len(people) > 1 else ""
    first = people[0] if people else ""
    return (
        f"{event['message']} {_sender(event)} -> {first}{more}, {event['size']} bytes{_of(event)}"
    )


def _rejected(event: Fields) -> str:
    return f"{event['client']} at {event['phase']}: {event['code']} {event['reply']}{_of(event)}"


def _delivery(event: Fields) -> str:
    host = event.get("mx") or event.get("address") or event.get("site", "")
    by = f" {host}:" if host else ""
    said = f"{event.get('code', '')} {event.get('reply', '')}".strip()
    notes = [f"attempt {event['attempt']}"] if event.get("attempt") else []
    if event.get("category"):
        notes.append(str(event["category"]))
    if event.get("retry_at"):
        notes.append(f"again at {event['retry_at']}")
    if event.get("late"):
        notes.append("late")
    about = f" ({', '.join(notes)})" if notes else ""
    return f"{event['message']} -> {event['recipient']}{by} {said}{about}{_of(event)}"


def _cancelled(event: Fields) -> str:
    by = f" by {event['by']}" if event.get("by") else ""
    return f"{event['message']} -> {event['recipient']}{by}{_of(event)}"


def _admin(event: Fields) -> str:
    selector = " ".join(f"{name}={value}" for name, value in event.get("selector", {}).items())
    who = f" by {event['who']}" if event.get("who") else ""
    reason = f": {event['reason']}" if event.get("reason") else ""
    return f"{event['action']} {selector}{who}{reason}"


def _policy(event: Fields) -> str:
    about = ", ".join(str(event[n]) for n in ("source", "provider") if event.get(n))
    until = f" until {event['until']}" if event.get("until") else ""
    reason = event.get("reason") or event.get("where", "")
    return f"{event['rule']}: {event['action']} {about}{until} ({reason}){_of(event)}"


def _rest(event: Fields) -> str:
    known = ("type", "at", "id")
    return " ".join(f"{name}={value}" for name, value in event.items() if name not in known)


def _sender(event: Fields) -> str:
    return event.get("sender") or "<>"


def _of(event: Fields) -> str:
    names = [str(event[name]) for name in ("tenant", "campaign", "class") if event.get(name)]
    return f" [{'/'.join(names)}]" if names else ""


_ABOUT: dict[str, Callable[[Fields], str]] = {
    "accepted": _accepted,
    "rejected": _rejected,
    "delivered": _delivery,
    "deferred": _delivery,
    "bounced": _delivery,
    "expired": _delivery,
    "cancelled": _cancelled,
    "admin": _admin,
    "policy": _policy,
}
