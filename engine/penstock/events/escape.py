"""Values of others in lines of ours.

A remote host writes half of every log line. Whatever it sends, a line stays one line, a terminal is
not steered by it, and the value can be read back: everything that is not printable (controls, line
separators, direction overrides, lone surrogates) is written as JSON writes it.
"""

from __future__ import annotations

import re

_PLAIN = re.compile(r"[!#-<>-\[\]-~]+").fullmatch  # printable ASCII without space, '"', '=', '\\'


def quoted(value: str) -> str:
    """``value`` as a JSON string, in printable characters only."""
    if value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    return f'"{"".join(map(_escaped, value))}"'


def bare(value: str) -> str:
    """``value`` as it stands where that is unmistakable in ``key=value``, else :func:`quoted`."""
    return value if _PLAIN(value) else quoted(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    if character == "\n":
        return "\\n"
    number = ord(character)
    if number < 0x10000:
        return f"\\u{number:04x}"
    number -= 0x10000
    return f"\\u{0xD800 + (number >> 10):04x}\\u{0xDC00 + (number & 0x3FF):04x}"
