"""What the columns of other people's lists mean: names, reasons and times as they are written.

Every sending service exports its suppressions with names of its own. Those that are known are read
as ours; a column that is not is left alone. A reason that is no reason of ours, such as the text of
an SMTP reply, becomes the reason of the whole file.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType

from penstock.suppression.decide import BOUNCE, COMPLAINT, UNSUBSCRIBE
from penstock.suppression.entry import SECONDS_MAX

COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "address": ("address", "email", "email_address", "emailaddress", "recipient", "e-mail"),
        "tenant": ("tenant",),
        "scope": ("scope", "class"),
        "reason": ("reason", "type"),
        "cause": ("cause",),
        "since": ("since", "created", "created_at", "createdat", "date", "timestamp", "time"),
        "until": ("until", "expires", "expires_at"),
    }
)
_BY_NAME = {name: ours for ours, names in COLUMNS.items() for name in names}
_WORDS = ("manual", "import", BOUNCE, COMPLAINT, UNSUBSCRIBE)
_OURS = re.compile(rf"(?:{'|'.join(_WORDS)})(?::[a-z0-9._-]+)*")
_MEANT: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("bounces", "bounced", "hard bounce", "hard_bounce", "hardbounce"), BOUNCE),
        **dict.fromkeys(("complaints", "complained", "spam", "spam report"), COMPLAINT),
        **dict.fromkeys(("spam_report", "spamreport", "spam complaint"), COMPLAINT),
        **dict.fromkeys(("unsubscribes", "unsubscribed", "list unsubscribe"), UNSUBSCRIBE),
    }
)
_UNIX = re.compile(r"\d{9,11}(?:\.\d+)?")
_UNIX_MS = re.compile(r"\d{13}")


def column_of(name: str) -> str:
    """What we call the column, or ``""``."""
    return _BY_NAME.get(name.strip().lower().replace(" ", "_"), "")


def reason_of_file(names: Iterable[str]) -> str:
    """What a file with these columns is a list of, as far as they tell: an SMTP code or status is
    that of a bounce, and one service's list of unsubscribes alone has tags."""
    known = {name.strip().lower() for name in names}
    if known & {"code", "error", "status"}:
        return BOUNCE
    return UNSUBSCRIBE if "tags" in known else "import"


def reason_of(text: str, otherwise: str) -> str:
    """A reason of ours for what stands in the column of reasons."""
    word = text.strip().lower()
    return word if _OURS.fullmatch(word) else _MEANT.get(word, otherwise)


def moment_of(text: str) -> float:
    """Seconds since the epoch; ``""`` is 0. Unix seconds or milliseconds, ISO 8601, or a date as in
    mail (RFC 5322); UTC where no zone is named. Raises ``ValueError``."""
    text = text.strip()
    if text in ("", "0"):
        return 0.0
    if _UNIX.fullmatch(text):
        seconds = float(text)
    elif _UNIX_MS.fullmatch(text):
        seconds = int(text) / 1000
    else:
        seconds = _read(text).timestamp()
    if not 0 <= seconds < SECONDS_MAX:
        raise ValueError(f"{text[:40]!r} is no time that can be kept")
    return seconds


def _read(text: str) -> datetime:
    try:
        plain = text.removesuffix(" UTC").replace("/", "-")
        found = datetime.fromisoformat(plain)
    except ValueError:
        try:
            found = email.utils.parsedate_to_datetime(text)
        except (ValueError, TypeError, IndexError):
            known = "Unix seconds, ISO 8601 or an RFC 5322 date"
            raise ValueError(f"{text[:40]!r} is no time: {known}") from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def moment_text(seconds: float) -> str:
    """RFC 3339 in UTC; ``""`` for 0."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else ""
