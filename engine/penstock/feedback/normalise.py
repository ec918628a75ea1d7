"""A reply in the form that rules are searched in: its code, its enhanced code, and plain text.

Servers repeat code and enhanced code on every line, and whoever hands a reply on joins the lines as
they are: ``550-5.7.1 [192.0.2.1] Our system 550 5.7.1 has detected``. Rules are about wording, so
all of that is taken off, white space collapses and case is folded. Any text becomes something.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.policy.patterns import TEXT_CHARS_MAX
from penstock.smtp.reply import Reply

_RAW_CHARS_MAX = 4 * TEXT_CHARS_MAX
_CODE = re.compile(r"\s*([2-5][0-9][0-9])(?:[ -]|$)", re.ASCII)
_NUMBER = r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?!\.?[0-9])"
_STATUS = re.compile(rf"\s*[#(\[<]?({_NUMBER})[)\]>:]?(?:\s+|$)?", re.ASCII)
_STATUS_INSIDE = re.compile(rf"#({_NUMBER})", re.ASCII)
_REPEATED = re.compile(
    rf"(?<!\S)[245][0-9][0-9](?:-| (?={_NUMBER}))(?:{_NUMBER}(?: |$))?", re.ASCII
)


class Normal(NamedTuple):
    """``code`` 0 and ``status`` ``""`` where there is none; ``text``: folded, one line."""

    code: int
    status: str
    text: str


def of_reply(reply: Reply) -> Normal:
    """A reply as it came over the wire."""
    lines = reply.lines
    return _normal(reply.code, lines[0] if len(lines) == 1 else " ".join(lines))


def of_text(text: str) -> Normal:
    """A reply as somebody wrote it down, with its code in front or without."""
    text = text[:_RAW_CHARS_MAX]
    found = _CODE.match(text)
    return _normal(int(found[1]), text[found.end() :]) if found else _normal(0, text)


def _normal(code: int, rest: str) -> Normal:
    rest = rest[:_RAW_CHARS_MAX]
    status = ""
    found = _STATUS.match(rest)
    if found:
        status, rest = found[1], rest[found.end() :]
    text = " ".join(rest.split())
    if code and str(code) in text:
        text = _REPEATED.sub("", text)
    if status:
        if status in text:
            text = f" {text} ".replace(f" {status} ", " ").strip()
    elif "#" in text and (inside := _STATUS_INSIDE.search(text)):
        status = inside[1]
    return Normal(code, status, text.casefold()[:TEXT_CHARS_MAX])
