"""The keys that sign tokens, from the file that ``[feedback] keys`` names.

Whoever has them can unsubscribe anybody and forge bounces, so a file that others than its owner and
group can read is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from penstock.mail.verp import TokenKeys
from penstock.mail.verp_keys import BadKeyFile, parse_keys
from penstock.policy.problem import quoted
from penstock.settings.files import Read, read_file

_OTHERS = 0o007


def file_mode(path: str) -> int:
    """Who may do what with the file: the permission bits. Raises ``OSError``."""
    return os.stat(path).st_mode & 0o777


def load_token_keys(
    path: str, read: Read = read_file, mode: Callable[[str], int] = file_mode
) -> TokenKeys:
    """The keys in the file ``path``; raises ``OSError`` where it cannot be read, ``ValueError``
    with a sentence where it cannot be used."""
    name = quoted(path, 200)
    bits = mode(path)
    if bits & _OTHERS:
        raise ValueError(f"{name} can be read or changed by others ({bits:04o}); chmod 600 it")
    try:
        return parse_keys(read(path).decode("ascii"))
    except UnicodeDecodeError:
        raise ValueError(f"{name} is no file of keys") from None
    except BadKeyFile as error:
        raise ValueError(f"{name}: {error}") from None
