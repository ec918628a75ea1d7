"""MTA-STS (RFC 8461): the record and the policy of a domain, read strictly and within bounds.

Both are written by strangers. A text that is not by the grammar is no policy: guessing what its
author meant could only make mail less safe, or keep it from being delivered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

Mode = Literal["enforce", "testing", "none"]
POLICY_BYTES_MAX = 64 << 10
MX_MAX = 100
MAX_AGE_S = 31_557_600
_MODES: Mapping[str, Mode] = MappingProxyType(
    {"enforce": "enforce", "testing": "testing", "none": "none"}
)
_LINES_MAX = 1000
_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_RECORD_START = re.compile(r"v=STSv1[ \t]*(?:;|$)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_PATTERN = re.compile(rf"(?=.{{1,253}}$)(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_FIELD = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*")


class StsPolicy(NamedTuple):
    """``mx``: names and ``*.name`` patterns, lower case; ``id``: of the record that it was fetched
    for; ``lines``: as it was written, for reports."""

    mode: Mode
    mx: tuple[str, ...]
    max_age_s: int
    id: str = ""
    lines: tuple[str, ...] = ()


class BadPolicy(ValueError):
    """A record or a policy that does not count; the text says why."""


def parse_record(texts: Sequence[str]) -> str | None:
    """The id of the ``_mta-sts`` record among TXT records; ``None`` where there is no such record.
    Raises :class:`BadPolicy` where there are several, or the one is malformed (section 3.1)."""
    records = [text for text in texts if _RECORD_START.match(text)]
    if not records:
        return None
    if len(records) > 1:
        raise BadPolicy("several _mta-sts records")
    found = ""
    for part in records[0].split(";")[1:]:
        name, equals, value = part.strip(" \t").partition("=")
        if not name and not equals:
            continue
        name, value = name.strip(" \t"), value.strip(" \t")
        if not equals or not _NAME.fullmatch(name) or not value:
            raise BadPolicy("a field of the _mta-sts record is not name=value")
        if name == "id" and not found:
            if not _ID.fullmatch(value):
                raise BadPolicy("the id of the _mta-sts record is not 1 to 32 letters and digits")
            found = value
    if not found:
        raise BadPolicy("the _mta-sts record has no id")
    return found


def parse_policy(body: bytes, id: str = "") -> StsPolicy:
    """The policy of a file; raises :class:`BadPolicy` (section 3.2)."""
    if len(body) > POLICY_BYTES_MAX:
        raise BadPolicy(f"the policy has more than {POLICY_BYTES_MAX} bytes")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadPolicy("the policy is not UTF-8") from None
    lines = text.replace("\r\n", "\n").split("\n")
    while lines and not lines[-1].strip(" \t"):
        lines.pop()
    if len(lines) > _LINES_MAX:
        raise BadPolicy(f"the policy has more than {_LINES_MAX} lines")
    fields: dict[str, str] = {}
    mx: dict[str, None] = {}
    for number, line in enumerate(lines, 1):
        name, value = _field(number, line)
        if name == "mx":
            mx[_pattern(number, value)] = None
        else:
            fields.setdefault(name, value)  # what is said again does not count
    return _policy(fields, tuple(mx), id, tuple(lines))


def _field(number: int, line: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(line)
    if found is None or not found[2] or not found[2].isprintable():
        raise BadPolicy(f"line {number} of the policy is not name: value")
    return found[1], found[2]


def _pattern(number: int, value: str) -> str:
    pattern = value.lower().removesuffix(".")
    if not _PATTERN.fullmatch(pattern):
        raise BadPolicy(f"line {number} of the policy: the mx is no host name or *.name")
    return pattern


def _policy(
    fields: dict[str, str], mx: tuple[str, ...], id: str, lines: tuple[str, ...]
) -> StsPolicy:
    if fields.get("version") != "STSv1":
        raise BadPolicy("the policy's version is not STSv1")
    mode, age = _MODES.get(fields.get("mode", "")), fields.get("max_age", "")
    if mode is None:
        raise BadPolicy("the policy's mode is not enforce, testing or none")
    if not age.isascii() or not age.isdigit() or len(age) > 10:
        raise BadPolicy("the policy's max_age is no number of seconds")
    if len(mx) > MX_MAX:
        raise BadPolicy(f"the policy has more than {MX_MAX} mx")
    if not mx and mode != "none":
        raise BadPolicy("the policy names no mx")
    return StsPolicy(mode, mx, min(int(age), MAX_AGE_S), id, lines)


def host_matches(host: str, patterns: Sequence[str]) -> bool:
    """Whether a mail host's name (lower case) is one of these; ``*`` stands for one label."""
    host = host.rstrip(".")
    parent = host.partition(".")[2]
    return any(
        pattern == host or (pattern.startswith("*.") and parent == pattern[2:] and host[0] != ".")
        for pattern in patterns
        if host
    )
