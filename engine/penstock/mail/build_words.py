"""Header values as the wire carries them: folded lines, encoded words (RFC 5322 2.2.3, RFC 2047).

The standard library's generator is not used for fields: it splits long display names so that they
do not read back, differently in each Python release, and costs a millisecond a message. What is
made here is simpler than what it makes: a value goes out as it is where every reader will read it
back unchanged, and otherwise wholly as encoded words, cut between characters.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable

from penstock.mail.mailbox import Mailbox

LINE_CHARS = 78
ENCODED_LINE_CHARS = 76
LINE_BYTES_MAX = 998
_WORD_CHARS_MAX = 75
_FRAME_CHARS = len("=?utf-8?b??=")
_QUOTED_NAME_CHARS_MAX = 45  # in quotes beside the longest field name

_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+")
_SPACES_THAT_FOLD = re.compile(r"(?<=[^ ]) (?=[^ ])")
# What may stand as it is in an encoded word anywhere, also in a phrase (RFC 2047 5 (3)).
_SAFE_BYTES = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = {chr(byte): chr(byte) for byte in _SAFE_BYTES} | {" ": "_"}


def encoded_words(text: str, first_room: int) -> list[str]:
    """``text`` as encoded words: the first at most ``first_room`` characters, the others 75."""
    data = text.encode()
    unsafe = len(data.translate(None, _SAFE_BYTES + b" "))
    if len(data) + 2 * unsafe <= len(data) * 4 // 3:
        return _quoted_words(text, first_room)
    words = []
    position, room = 0, first_room
    while position < len(data):
        end = position + (min(room, _WORD_CHARS_MAX) - _FRAME_CHARS) // 4 * 3
        while end < len(data) and data[end] & 0xC0 == 0x80:  # within a character
            end -= 1
        coded = b2a_base64(data[position:end], newline=False).decode("ascii")
        words.append(f"=?utf-8?b?{coded}?=")
        position, room = end, _WORD_CHARS_MAX
    return words


def _quoted_words(text: str, first_room: int) -> list[str]:
    words: list[str] = []
    pieces: list[str] = []
    left = min(first_room, _WORD_CHARS_MAX) - _FRAME_CHARS
    for character in text:
        piece = _Q.get(character)
        if piece is None:
            piece = "".join([f"={byte:02X}" for byte in character.encode()])
        if len(piece) > left:
            words.append(f"=?utf-8?q?{''.join(pieces)}?=")
            pieces = []
            left = _WORD_CHARS_MAX - _FRAME_CHARS
        pieces.append(piece)
        left -= len(piece)
    words.append(f"=?utf-8?q?{''.join(pieces)}?=")
    return words


def reads_back(text: str) -> bool:
    """Whether ``text``, which holds no control character, may stand in a field as it is."""
    return text.isascii() and "=?" not in text and text[:1] != " " != text[-1:]


def text_field(name: str, value: str, line_chars_max: int = LINE_CHARS) -> bytes:
    """A whole field of free text; a word that makes a line longer than ``line_chars_max`` has all
    of it encoded."""
    head = len(name) + 2
    if reads_back(value):
        if head + len(value) <= LINE_CHARS:
            return f"{name}: {value}\r\n".encode("ascii")
        words = _SPACES_THAT_FOLD.split(value)
        if max(head + len(words[0]), *(1 + len(word) for word in words)) <= line_chars_max:
            return f"{name}:{_lines(words, head - 1, LINE_CHARS)}\r\n".encode("ascii")
    coded = "\r\n ".join(encoded_words(value, ENCODED_LINE_CHARS - head))
    return f"{name}: {coded}\r\n".encode("ascii")


def _lines(words: Iterable[str], column: int, line_chars: int) -> str:
    """``words`` with a space before each, or a line break and a space where the line is full."""
    pieces: list[str] = []
    for word in words:
        if column + 1 + len(word) > line_chars and pieces:
            pieces.append("\r\n ")
            column = 1 + len(word)
        else:
            pieces.append(" ")
            column += 1 + len(word)
        pieces.append(word)
    return "".join(pieces)


def address_field(name: str, mailboxes: Iterable[Mailbox]) -> bytes:
    """A whole field of checked mailboxes, in UTF-8 only where a local part is not ASCII."""
    words: list[str] = []
    room = ENCODED_LINE_CHARS - len(name) - len(": ")
    for mailbox in mailboxes:
        if words:
            words[-1] += ","
            room = _WORD_CHARS_MAX
        words += _mailbox_words(mailbox, room)
    return f"{name}:{_lines(words, len(name) + 1, ENCODED_LINE_CHARS)}\r\n".encode()


def _mailbox_words(mailbox: Mailbox, room: int) -> list[str]:
    """What must not be broken within; an encoded word first has at most ``room`` characters."""
    name, address = mailbox
    if not name:
        return [address]
    if len(name) <= _QUOTED_NAME_CHARS_MAX and reads_back(name):
        if _ATOMS.fullmatch(name):
            return [name, f"<{address}>"]
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}"', f"<{address}>"]
    return [*encoded_words(name, room), f"<{address}>"]
