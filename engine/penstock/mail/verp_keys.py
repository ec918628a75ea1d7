"""The file of the keys that sign tokens: one line a key, the current one first.

A line is the key's id (a digit of base 32), the day of its making, and the secret in base 64.
Rotation puts a new key in front; tokens that are out there stay good as long as their key is in the
file. Where several machines share the keys, the new one is *staged* first, that is put at the end,
where it signs nothing but is accepted, and promoted when all machines have it.
"""

from __future__ import annotations

import base64
import binascii
import re

from penstock.mail.verp import Key, TokenKeys

SECRET_BYTES = 32
KEYS_MAX = 8
_IDS = "0123456789abcdefghjkmnpqrstvwxyz"
_HEAD = """\
# Penstock: keys of the tokens in return paths and unsubscribe links. Secret; keep it with backups.
# The first signs, all are accepted. penstock feedback rotate puts a new one in front.
"""
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class BadKeyFile(ValueError):
    """The message says what is wrong, and in which line."""


def parse_keys(text: str) -> TokenKeys:
    """The keys in the text of a file; raises :class:`BadKeyFile`."""
    keys = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            keys.append(_key(line, number))
    if len(keys) > KEYS_MAX:
        raise BadKeyFile(f"more than {KEYS_MAX} keys")
    try:
        return TokenKeys(keys)
    except ValueError as error:
        raise BadKeyFile(str(error)) from None


def _key(line: str, number: int) -> Key:
    words = line.split()
    if len(words) != 3 or words[0] not in set(_IDS) or not _DAY.fullmatch(words[1]):
        raise BadKeyFile(f"line {number} is not ID DAY SECRET")
    try:
        secret = base64.b64decode(words[2], validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) < SECRET_BYTES:
        raise BadKeyFile(f"line {number}: the secret is not {SECRET_BYTES} bytes in base 64")
    return Key(words[0], secret, words[1])


def keys_text(keys: TokenKeys) -> str:
    """The text of a file with these keys."""
    lines = [f"{k.id} {k.made} {base64.b64encode(k.secret).decode()}\n" for k in keys.keys]
    return _HEAD + "".join(lines)


def first_key(secret: bytes, day: str) -> TokenKeys:
    """The keys of a new file; ``secret`` is ``SECRET_BYTES`` from a good source of randomness."""
    return TokenKeys([Key(_IDS[0], secret, day)])


def staged(keys: TokenKeys) -> Key | None:
    """The key that is accepted already and comes next; ``None`` where there is none."""
    return next((key for key in keys.keys if key.id == _next_id(keys)), None)


def stage(keys: TokenKeys, secret: bytes, day: str) -> TokenKeys:
    """With a new key at the end: accepted, and the current one after the next rotation. Raises
    ``ValueError`` where one is staged already."""
    if staged(keys) is not None:
        raise ValueError("a key is staged already; rotate to use it")
    kept = keys.keys[: KEYS_MAX - 1]
    return TokenKeys([*kept, Key(_next_id(keys), secret, day)])


def rotate(keys: TokenKeys, secret: bytes, day: str) -> TokenKeys:
    """With the staged key in front, or else a new one; the oldest goes where they are too many."""
    first = staged(keys) or Key(_next_id(keys), secret, day)
    others = [key for key in keys.keys if key.id != first.id]
    return TokenKeys([first, *others[: KEYS_MAX - 1]])


def _next_id(keys: TokenKeys) -> str:
    return _IDS[(_IDS.index(keys.current.id) + 1) % len(_IDS)]
