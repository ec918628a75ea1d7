"""Mailboxes: a name for people and an address for machines (RFC 5322 3.4), read from text.

What comes in is one mailbox as an application writes it: ``a@b``, ``Name <a@b>`` or
``"Name, with comma" <a@b>``. The address goes through the grammar that SMTP commands go through,
so that what a header names can also be sent to, and its domain becomes A-labels.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from penstock.mail.address import normal
from penstock.smtp.path import Fault, read_path

NAME_CHARS_MAX = 1024
MAILBOX_CHARS_MAX = NAME_CHARS_MAX + 400

# Control characters (C0, DEL, C1), the line and paragraph separators, and lone surrogates.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*+)"[ \t]*+<')
_ESCAPED = re.compile(r"\\(.)")


class BadMailbox(ValueError):
    """The text says what is wrong, and what is allowed."""


class Mailbox(NamedTuple):
    """``name`` may be ``""``; ``address`` is ``local@domain``, the domain as A-labels."""

    name: str
    address: str


def parse_mailbox(text: str) -> Mailbox:
    """The mailbox that ``text`` writes; raises :class:`BadMailbox`."""
    if len(text) > MAILBOX_CHARS_MAX:
        raise BadMailbox(f"longer than {MAILBOX_CHARS_MAX} characters")
    text = text.strip(" \t")
    if not text.endswith(">"):
        return make_mailbox("", text)
    quoted = _QUOTED_NAME.match(text)
    if quoted is not None:
        return make_mailbox(_ESCAPED.sub(r"\1", quoted[1]), text[quoted.end() : -1])
    name, _, address = text.partition("<")
    name = name.strip(" \t")
    if "," in name or ";" in name:
        raise BadMailbox(
            f"{shown(text)} looks like several addresses; give one, "
            'and write a name with a comma in quotes: "Name, Inc" <user@example.com>'
        )
    return make_mailbox(name, address[:-1])


def make_mailbox(name: str, address: str) -> Mailbox:
    """A checked mailbox; raises :class:`BadMailbox`."""
    return Mailbox(normal_name(name), normal_address(address))


def normal_name(name: str) -> str:
    """``name`` with single spaces and none around it; raises :class:`BadMailbox` for one that no
    header can hold."""
    if len(name) > NAME_CHARS_MAX:
        raise BadMailbox(f"a name longer than {NAME_CHARS_MAX} characters")
    if CONTROL.search(name):
        raise BadMailbox("a name with a line break or another control character")
    return " ".join([word for word in name.split(" ") if word])


@lru_cache(maxsize=4096)
def normal_address(address: str) -> str:
    """``address`` as it is sent to; raises :class:`BadMailbox`."""
    path = read_path(f"<{address}>", 0)
    if isinstance(path, Fault):
        raise BadMailbox(
            f"{shown(address)} is no address: {path.value.lower()}; write it as user@example.com"
        )
    found, end = path
    if not found or end != len(address) + 2:
        raise BadMailbox(f"{shown(address)} is no address; write it as user@example.com")
    try:
        return normal(found)
    except ValueError as error:
        raise BadMailbox(f"{shown(address)} is no address: {error}") from None


def shown(text: str) -> str:
    """``text`` as messages quote it: short, and on one line."""
    return repr(text if len(text) <= 80 else text[:77] + "...")
