"""Bytes of a mail as text: transfer encodings, charsets, encoded words, HTML.

Whatever a sender claims may be wrong: an unknown charset is tried as UTF-8, a broken one is read
with marks for what is missing. Only charsets whose decoders take linear time are believed; Python
has others (``punycode``, ``unicode_escape``), which no mail means.
"""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache
from html import unescape

_CHARSETS = re.compile(
    r"utf[-_]?(?:7|8|8[-_]sig|16|16[-_][bl]e)|ascii|iso8859[-_]\d{1,2}|cp\d{3,4}|"
    r"koi8[-_][rtu]|gb2312|gbk"
    r"|gb18030|hz|big5|big5hkscs|euc_(?:jp|kr|jis_2004|jisx0213)|shift_jis|shift_jis_2004"
    r"|iso2022_(?:jp|kr|jp_[1-3]|jp_ext|jp_2004)|johab|tis[-_]620|mac[-_][a-z]{1,12}|ptcp154"
)
_NAME_CHARS_MAX = 40
_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,20})?\?([bBqQ])\?([^?]{0,2000})\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s{1,80}(?==\?)")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_TAG = re.compile(r"<(/?[a-zA-Z!][a-zA-Z0-9]{0,10})[^<>]{0,4000}>")
_BREAKS = frozenset(
    ("br", "p", "div", "tr", "li", "table", "h1", "h2", "h3", "h4", "ul", "ol", "pre", "td")
)


@lru_cache(maxsize=256)
def charset_of(name: str) -> str:
    """The decoder for a charset as mail names it; ``""``: none that is believed."""
    name = name.strip().strip("\"'").lower()
    if not 0 < len(name) <= _NAME_CHARS_MAX or not name.isascii():
        return ""
    for known in (name, name.removeprefix("x-"), name.removesuffix("-i").removesuffix("-e")):
        try:
            found = codecs.lookup(known).name
        except (LookupError, ValueError):
            continue
        return found if _CHARSETS.fullmatch(found) else ""
    return ""


def text_of(raw: bytes, charset: str = "") -> str:
    """``raw`` as text, whatever it is."""
    if raw.isascii() and b"\x1b" not in raw and not charset:
        return raw.decode("ascii")
    name = charset_of(charset)
    if name in ("", "ascii"):
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            return raw.decode("utf-8" if _mostly_utf8(raw) else "latin-1", "replace")
    try:
        return raw.decode(name, "replace")
    except (UnicodeError, LookupError, ValueError, OverflowError):
        return raw.decode("latin-1")


def _mostly_utf8(raw: bytes) -> bool:
    """Text that was cut within a character, or has a few bytes of something else."""
    return 8 * raw.decode("utf-8", "replace").count("�") < sum(byte > 0x7F for byte in raw)


def bytes_of(raw: bytes, encoding: str) -> bytes:
    """``raw`` without its transfer encoding; never longer than ``raw``."""
    encoding = encoding.strip().lower()
    if encoding == "quoted-printable":
        return binascii.a2b_qp(raw)
    if encoding != "base64":
        return raw
    plain = _NOT_BASE64.sub(b"", raw.partition(b"=")[0] if b"=" in raw[-80:] else raw)
    plain = plain[: len(plain) - (len(plain) % 4 == 1)]
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4))
    except binascii.Error:
        return raw


def words_of(value: str) -> str:
    """The value of a field with its encoded words decoded (RFC 2047, RFC 2231)."""
    if "=?" not in value:
        return value
    return _WORD.sub(_word, _BETWEEN_WORDS.sub(r"\1", value))


def _word(found: re.Match[str]) -> str:
    charset, encoding, text = found[1], found[2].lower(), found[3]
    raw = text.encode("utf-8", "replace")
    if encoding == "q":
        return text_of(binascii.a2b_qp(raw, header=True), charset)
    return text_of(bytes_of(raw, "base64"), charset)


def plain_of(markup: str) -> str:
    """HTML as the lines that a reader sees."""
    for name in ("style", "script", "head"):
        markup = _without(markup, name)
    return unescape(_TAG.sub(_tag, markup))


def _tag(found: re.Match[str]) -> str:
    return "\n" if found[1].lower().removeprefix("/") in _BREAKS else " "


def _without(markup: str, name: str) -> str:
    """``markup`` without the elements of that name; one that is not closed takes the rest along."""
    folded, kept, start = markup.lower(), list[str](), 0
    if len(folded) != len(markup):  # a letter whose lower case is longer
        folded = markup
    while (begin := folded.find(f"<{name}", start)) >= 0:
        if folded[begin + len(name) + 1 : begin + len(name) + 2].isalnum():  # another element
            kept.append(markup[start : begin + 1])
            start = begin + 1
            continue
        kept.append(markup[start:begin])
        end = folded.find(f"</{name}", begin)
        if end < 0:
            return "".join(kept)
        start = markup.find(">", end) + 1 or len(markup)
    return "".join((*kept, markup[start:]))
