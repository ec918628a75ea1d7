"""A checker of finished messages, which shares no code with what builds them.

``lint(content)`` gives what is wrong, one line each: line ends and lengths, the syntax of fields,
encoded words, required fields, boundaries, transfer encodings and what is within them.
"""

from __future__ import annotations

import base64
import binascii
import re

LINE_BYTES_MAX = 998
LINE_CHARS_PREFERRED = 78
ONCE = ("from", "date", "message-id", "mime-version", "content-type")
AT_MOST_ONCE = ("to", "cc", "bcc", "reply-to", "subject", "sender", "content-transfer-encoding")
_FIELD = re.compile(rb"([!-9;-~]+):(?: |\r\n |$)")
_LOOKS_ENCODED = re.compile(rb"=\?[^\s?]*\?[^\s?]*\?[^?]*\?=")
_ENCODED = re.compile(rb"=\?utf-8\?(?:q\?[!->@-~]*|b\?[A-Za-z0-9+/]*={0,2})\?=")
_BOUNDARY = re.compile(rb'boundary="([0-9A-Za-z\'()+_,./:=?-]{1,70})"')
_QP_LINE = re.compile(rb"(?:[\t -<>-~]|=[0-9A-F]{2})*=?")


def lint(content: bytes, *, smtputf8: bool = False, overlong_fields: bool = False) -> list[str]:
    """``overlong_fields``: words in the header that cannot be broken may go over 78."""
    found: list[str] = []
    if not content.endswith(b"\r\n"):
        found.append("does not end in CRLF")
    if re.search(rb"\r(?!\n)|(?<!\r)\n", content):
        found.append("a bare CR or LF")
    if b"\0" in content:
        found.append("a NUL")
    if not smtputf8 and not content.isascii():
        found.append("8-bit content that nothing declares")
    head, blank, _ = content.partition(b"\r\n\r\n")
    if not blank:
        found.append("no blank line after the header")
    for line in content.split(b"\r\n"):
        if len(line) > LINE_BYTES_MAX:
            found.append(f"a line of {len(line)} bytes")
    for line in head.split(b"\r\n"):
        if len(line.decode()) > LINE_CHARS_PREFERRED and not overlong_fields:
            found.append(f"a header line of {len(line)} bytes: {line[:60]!r}")
    names = [name for name, _ in fields(head, found)]
    found += [
        f"{name} is there {names.count(name)} times" for name in ONCE if names.count(name) != 1
    ]
    found += [f"{name} more than once" for name in AT_MOST_ONCE if names.count(name) > 1]
    _part(content, found, set(), top=True)
    return found


def fields(head: bytes, found: list[str]) -> list[tuple[str, bytes]]:
    """Names in lower case, and values unfolded."""
    made: list[tuple[str, bytes]] = []
    for line in head.split(b"\r\n") if head else []:
        if line[:1] in (b" ", b"\t"):
            if not line.strip():
                found.append("a folded line of blanks only")
            if not made:
                found.append("a continuation without a field")
                continue
            made[-1] = made[-1][0], made[-1][1] + line
        else:
            match = _FIELD.match(line)
            if match is None:
                found.append(f"no field: {line[:60]!r}")
                continue
            made.append((match[1].decode().lower(), line[len(match[1]) + 1 :]))
        if line != line.rstrip():
            found.append(f"a blank at the end of {line[:60]!r}")
        words = _LOOKS_ENCODED.findall(line)
        for word in words:
            if len(word) > 75 or not _ENCODED.fullmatch(word):
                found.append(f"a bad encoded word: {word[:100]!r}")
            elif word.startswith(b"=?utf-8?b?"):
                base64.b64decode(word[10:-2], validate=True).decode()
            else:
                binascii.a2b_qp(word[10:-2], header=True).decode()
        if words and len(line.decode()) > 76:
            found.append("a line with an encoded word of more than 76 bytes")
    for name, value in made:
        if any(byte < 32 and byte != 9 for byte in value) or b"\x7f" in value:
            found.append(f"a control character in {name}")
    return made


def _part(part: bytes, found: list[str], boundaries: set[bytes], *, top: bool = False) -> None:
    head, blank, body = part.partition(b"\r\n\r\n")
    if not blank and not part.startswith(b"\r\n"):
        found.append("a part without a blank line after its header")
    given = dict(fields(head, found))
    if not top and any(not name.startswith("content-") for name in given):
        found.append(f"fields of a part that are none: {sorted(given)}")
    kind = given.get("content-type", b"").strip()
    if not re.match(rb"[a-z]+/[\w.+-]+(;|$)", kind, re.IGNORECASE):
        found.append(f"a bad Content-Type: {kind!r}")
    encoding = given.get("content-transfer-encoding", b" 7bit").strip()
    if kind.startswith(b"multipart/"):
        _multipart(kind, encoding, body, found, boundaries)
    elif encoding == b"base64":
        _base64(body, found)
    elif encoding == b"quoted-printable":
        for line in body.split(b"\r\n"):
            if len(line) > 76 or not _QP_LINE.fullmatch(line) or line != line.rstrip(b" \t"):
                found.append(f"a bad quoted-printable line: {line[:90]!r}")
    elif encoding != b"7bit":
        found.append(f"a transfer encoding {encoding!r}")
    else:
        for line in body.split(b"\r\n"):
            if (
                len(line) > LINE_CHARS_PREFERRED
                or not line.isascii()
                or line != line.rstrip(b" \t")
            ):
                found.append(f"a line that is not safe as 7bit: {line[:90]!r}")
    if not kind.startswith(b"multipart/") and re.search(rb"^(From |\.\r)", body, re.MULTILINE):
        found.append("a line of the body that begins with 'From ' or is a dot")


def _multipart(
    kind: bytes, encoding: bytes, body: bytes, found: list[str], boundaries: set[bytes]
) -> None:
    match = _BOUNDARY.search(kind)
    if match is None:
        found.append(f"no boundary in {kind!r}")
        return
    boundary = match[1]
    if any(boundary.startswith(one) or one.startswith(boundary) for one in boundaries):
        found.append("a boundary that begins with another's")
    if encoding != b"7bit":
        found.append("a multipart with a transfer encoding")
    pieces = re.split(rb"(?:^|\r\n)--%b(--)?\r\n" % re.escape(boundary), body)
    texts, ends = pieces[::2], pieces[1::2]
    if ends[-1:] != [b"--"] or ends[:-1] != [None] * (len(ends) - 1) or len(ends) < 2:
        found.append("delimiters that are not as they should be")
    if texts[0] or texts[-1].strip():
        found.append("text outside of the parts")
    for text in texts[1:-1]:
        _part(text, found, boundaries | {boundary})


def _base64(body: bytes, found: list[str]) -> None:
    lines = body.removesuffix(b"\r\n").split(b"\r\n")
    if any(len(line) != 76 for line in lines[:-1]) or len(lines[-1]) > 76:
        found.append("base64 lines that are not of 76 characters")
    try:
        base64.b64decode(b"".join(lines), validate=True)
    except binascii.Error as error:
        found.append(f"bad base64: {error}")
