"""The ``X-Penstock-*`` fields, by which a message says of itself how it is to be sent.

Only those of trusted clients are read; everybody's are taken out. A field that cannot be obeyed is
refused with the whole message, one with an unknown name too: a newsletter whose pool was misspelt
would otherwise leave from the addresses of the receipts, and nobody would know why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from penstock.intake.moment import parse_moment
from penstock.mail.envelope import CLASSES, LABEL_CHARS, Envelope, is_label
from penstock.mail.headers import CONTROL_VALUE_BYTES_MAX, Headers
from penstock.policy.problem import nearest
from penstock.policy.units import duration_text
from penstock.smtp.reply import Reply

TAGS_MAX = 16
TAG_VALUE_CHARS_MAX = 256
QUOTED_CHARS_MAX = 60
NAMES_SHOWN_MAX = 8
_NAME_CHARS_MAX = 40
_TEXT_CHARS_MAX = 400  # a reply line has 512 bytes at most (RFC 5321 4.5.3.1.5)


def no_pools() -> Collection[str]:
    """Where nobody says which there are, there are none."""
    return ()


@dataclass(frozen=True, slots=True)
class ControlRules:
    """``pools`` gives the names of the pools that exist now: it is asked anew for each message that
    names one, so that a reload counts at once."""

    pools: Callable[[], Collection[str]] = no_pools
    deliver_at_max_s: float = 31 * 86400.0


@dataclass(frozen=True, slots=True)
class Permit:
    """What the fields of an account's mail may name; empty is anything."""

    pools: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


ANYTHING = Permit()


@dataclass(frozen=True, slots=True)
class _Case:
    """One message, and what its fields are judged by."""

    envelope: Envelope
    permit: Permit
    rules: ControlRules
    now: float


class _Forbidden(ValueError):
    """Well said, but not for this client to say."""


def obey(
    envelope: Envelope, headers: Headers, permit: Permit, rules: ControlRules, now: float
) -> Reply | None:
    """Write into ``envelope`` what the control fields say; the refusal where one is bad: the first,
    and how many more. ``now``: seconds since the epoch."""
    bad = assign(envelope, headers.control, permit, rules, now, headers.overlong)
    return _refusal(*bad[0], len(bad) - 1) if bad else None


def assign(
    envelope: Envelope,
    values: Mapping[str, str],
    permit: Permit,
    rules: ControlRules,
    now: float,
    overlong: Collection[str] = (),
) -> list[tuple[str, ValueError]]:
    """The same for values by the names of their fields (without the prefix, in lower case), however
    they were given: which of them are bad, and why. ``overlong``: those of which not all is
    there."""
    case = _Case(envelope, permit, rules, now)
    bad: list[tuple[str, ValueError]] = []
    for name, value in values.items():
        if name in _OUR_OWN:
            continue
        try:
            read = _READERS.get(name)
            if read is None:
                raise _unknown(name)
            if name in overlong:
                raise ValueError(f"longer than {CONTROL_VALUE_BYTES_MAX} bytes")
            read(case, value)
        except ValueError as error:
            bad.append((name, error))
    if not bad and 0 < envelope.expires_at <= envelope.deliver_at:
        never = ValueError("not later than X-Penstock-Deliver-At: it would never be sent")
        bad.append(("expires", never))
    return bad


def _refusal(name: str, error: ValueError, more: int) -> Reply:
    code = "5.7.1" if isinstance(error, _Forbidden) else "5.6.0"
    text = f"{_field(name)}: {error}"
    if len(text) > _TEXT_CHARS_MAX:
        text = f"{text[: _TEXT_CHARS_MAX - 3]}..."
    if more:
        text += f" (and {more} more bad X-Penstock {'field' if more == 1 else 'fields'})"
    return Reply.of(550, f"{code} {text}")


def _field(name: str) -> str:
    parts = name[:_NAME_CHARS_MAX].split("-")
    return "-".join(["X-Penstock", *(part.capitalize() for part in parts)])


def _quoted(value: str) -> str:
    """``value`` in double quotes, in printable ASCII and bounded: a reply goes to any client."""
    plain = value.encode("ascii", "backslashreplace").decode().replace('"', "'")
    return f'"{plain}"' if len(plain) <= QUOTED_CHARS_MAX else f'"{plain[:QUOTED_CHARS_MAX]}..."'


def _listed(names: Iterable[str]) -> str:
    """The first few of ``names``, and how many more there are."""
    known = list(names)
    more = len(known) - NAMES_SHOWN_MAX
    shown = ", ".join(known[:NAMES_SHOWN_MAX])
    return f"{shown} and {more} more" if more > 0 else shown


def _unknown(name: str) -> ValueError:
    near = nearest(name, _READERS)
    known = f"did you mean {_field(near)}?" if near else _listed(map(_field, _READERS))
    return ValueError(f"no such field; {known}")


def _label(value: str) -> str:
    if not is_label(value):
        raise ValueError(f"{_quoted(value)} is not {LABEL_CHARS}")
    return value


def _tenant(case: _Case, value: str) -> None:
    envelope = case.envelope
    if envelope.account and envelope.tenant not in ("", _label(value)):
        raise _Forbidden(f"this account sends for {envelope.tenant} only")
    envelope.tenant = _label(value)


def _campaign(case: _Case, value: str) -> None:
    case.envelope.campaign = _label(value)


def _class(case: _Case, value: str) -> None:
    if value not in CLASSES:
        raise ValueError(f"{_quoted(value)} is none of {_listed(CLASSES)}")
    _permitted(value, case.permit.classes)
    case.envelope.class_ = value


def _pool(case: _Case, value: str) -> None:
    _permitted(_label(value), case.permit.pools)
    pools = case.rules.pools()
    if value not in pools:
        near = nearest(value, pools)
        known = f"did you mean {near}?" if near else f"pools: {_listed(sorted(pools)) or 'none'}"
        raise ValueError(f"{_quoted(value)} is no pool; {known}")
    case.envelope.pool = value


def _permitted(value: str, allowed: tuple[str, ...]) -> None:
    if allowed and value not in allowed:
        raise _Forbidden(f"{_quoted(value)} is not for this account, only {_listed(allowed)}")


def _tag(case: _Case, value: str) -> None:
    tags: dict[str, str] = {}
    for pair in filter(None, map(str.strip, value.split(","))):
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not is_label(name):
            raise ValueError(f"{_quoted(pair)} is not name=value, the name {LABEL_CHARS}")
        if len(text) > TAG_VALUE_CHARS_MAX:
            raise ValueError(f"the value of {name} is longer than {TAG_VALUE_CHARS_MAX} characters")
        if tags.setdefault(name, text) != text:
            raise ValueError(f"{name} is given two values")
    if not 0 < len(tags) <= TAGS_MAX:
        count = "no tag" if not tags else f"{len(tags)} tags"
        raise ValueError(f"{count}; 1 to {TAGS_MAX} expected, as name=value, name=value")
    case.envelope.tags = tags


def _deliver_at(case: _Case, value: str) -> None:
    at = _moment(case, value)
    most = case.rules.deliver_at_max_s
    if at > case.now + most:
        raise ValueError(f"{_quoted(value)} is more than {duration_text(most)} ahead")
    if at > case.now:
        case.envelope.deliver_at = at


def _expires(case: _Case, value: str) -> None:
    at = _moment(case, value)
    if at <= case.now:
        raise ValueError(f"{_quoted(value)} has passed")
    case.envelope.expires_at = at


def _moment(case: _Case, value: str) -> float:
    try:
        return parse_moment(value, case.now)
    except ValueError as error:
        raise ValueError(f"{_quoted(value)} {error}") from None


# Written by us into what goes out (relay/stamp.py): mail that comes from another engine, or comes
# around again, says nothing by it.
_OUR_OWN = frozenset({"ref"})
_READERS: Mapping[str, Callable[[_Case, str], None]] = MappingProxyType(
    {
        "tenant": _tenant,
        "campaign": _campaign,
        "class": _class,
        "pool": _pool,
        "tag": _tag,
        "deliver-at": _deliver_at,
        "expires": _expires,
    }
)
