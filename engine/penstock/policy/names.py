"""Domain and host names as policies compare them: lower case, A-labels, no final dot."""

from __future__ import annotations

import re

import idna

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NAME_LENGTH_MAX = 253


def plain_name(name: str) -> str:
    """``name`` in the form that is compared; for names that come from DNS or an envelope."""
    return name.lower().removesuffix(".")


def parse_name(text: str) -> str:
    """A domain as a person wrote it, in the form that is compared; ``ValueError`` if it is none."""
    name = plain_name(text.strip())
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ValueError(f"not a domain name: {text!r} ({error})") from None
    if "@" in name:
        raise ValueError(f"not a domain name: {text!r}; write what follows the @")
    if len(name) > NAME_LENGTH_MAX or not all(map(_LABEL.fullmatch, name.split("."))):
        raise ValueError(f"not a domain name: {text!r}")
    return name


def parse_suffix(text: str) -> str:
    """An MX suffix without its leading dot: ``".google.com"`` as ``"google.com"``."""
    suffix = parse_name(text.strip().removeprefix("*").removeprefix("."))
    if "." not in suffix:
        raise ValueError(f"{text!r} would take every host below a top-level domain")
    return suffix
