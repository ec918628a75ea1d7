"""DKIM canonicalisation in bulk (RFC 6376 section 3.4), byte for byte what dkimpy produces.

dkimpy runs a substitution over every blank. Most mail is in the relaxed form already, where
``bytes.replace`` only searches and copies nothing; for the rest it gives the same bytes, because
runs of blanks may be shortened in any order. Only header blocks with characters on which
``bytes.split`` and dkimpy differ about what a blank is go through dkimpy itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from dkim.canonicalization import Relaxed

_FIELD = re.compile(rb"^([!-9;-~]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.MULTILINE)
_WHOLE_FIELD = re.compile(rb"^[!-9;-~]++[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+\n?", re.MULTILINE)
_BLANK_LINES = b"\r\n" * 512


class Fields(NamedTuple):
    """The header fields of a message, top to bottom.

    ``names`` are in lower case; ``values`` as they stand, folded, without the final LF. ``odd``:
    blanks other than space, tab and CRLF occur, so that only dkimpy's own code may judge them.
    """

    block: bytes
    names: list[bytes]
    values: list[bytes]
    odd: bool

    def relaxed(self, indexes: Sequence[int]) -> bytes:
        """These fields in relaxed form, one after the other."""
        names, values = self.names, self.values
        if self.odd:
            pairs = Relaxed.canonicalize_headers([(names[i], values[i] + b"\n") for i in indexes])
            return b"".join([name + b":" + value for name, value in pairs])
        return b"".join([b"%b:%b\r\n" % (names[i], b" ".join(values[i].split())) for i in indexes])

    def simple(self, indexes: Sequence[int]) -> bytes:
        """These fields in simple form, that is as they are."""
        whole = _WHOLE_FIELD.findall(self.block)
        return b"".join([whole[i] for i in indexes])


def parse(content: bytes, headers_end: int) -> Fields:
    """The fields in ``content[:headers_end]``; lines that are no field are passed over."""
    block = content[:headers_end]
    found = _FIELD.findall(block)
    odd = b"\x0b" in block or b"\x0c" in block or block.count(b"\r") != block.count(b"\r\n")
    return Fields(block, [name.lower() for name, _ in found], [value for _, value in found], odd)


def put_before(added: bytes, fields: Fields) -> Fields:
    """The same with the header fields ``added`` on top."""
    above = parse(added, len(added))
    return Fields(
        added + fields.block,
        above.names + fields.names,
        above.values + fields.values,
        above.odd or fields.odd,
    )


def relaxed_value(value: bytes) -> bytes:
    """A field value of our own making (no blanks but space, tab, CRLF) in relaxed form."""
    return b" ".join(value.split())


def body(content: bytes, start: int, relaxed: bool) -> bytes | memoryview:
    """The body ``content[start:]`` in canonical form.

    A body that does not end in CRLF is taken as the wire will carry it: with CRLF after it, before
    anything else. (dkimpy adds it last, so a blank before a missing line end stays there.)
    """
    text = content[start:]
    if not text.endswith(b"\r\n"):
        text += b"\r\n"
    if relaxed:
        text = _shorten(text)
    stop = len(text)
    while text.endswith(_BLANK_LINES, 0, stop):
        stop -= len(_BLANK_LINES)
    while text.endswith(b"\r\n", 0, stop):
        stop -= 2
    if stop == 0:
        return b"" if relaxed else b"\r\n"
    return memoryview(text)[: stop + 2] if stop + 2 < len(text) else text


def _shorten(text: bytes) -> bytes:
    """Every run of blanks as one space, none before a line end."""
    text = text.replace(b"\t", b" ")
    before = -1
    while before != len(text):  # each pass halves the runs
        before = len(text)
        text = text.replace(b"  ", b" ")
    return text.replace(b" \r\n", b"\r\n")
