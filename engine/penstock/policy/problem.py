"""What is wrong in a file that a person wrote, said so that the person can mend it.

A ``Problem`` names the file, the line, the key and the reason and, where it can, what to do:
``config.toml:12: smtp[0].lisen: unknown key; did you mean "listen"?``. Problems are values: loaders
collect all of them, of all files, and report them together.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_CLOSE_ENOUGH = 0.6
_KEYS_SHOWN_MAX = 14


@dataclass(frozen=True, slots=True)
class Problem:
    """``line`` counts from 1, 0 where the file as a whole is meant; ``path`` leads to the key;
    ``hint`` may be empty. A ``warning`` may be wrong, and keeps nobody from anything."""

    file: str
    line: int
    path: Path
    message: str
    hint: str = ""
    warning: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f"{path_text(self.path)}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        mild = "warning: " if self.warning else ""
        return f"{place}: {mild}{key}{self.message}{hint}"


def path_text(path: Path) -> str:
    """``("smtp", 0, "listen")`` as ``smtp[0].listen``; odd keys in quotes."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
            continue
        key = part if _BARE_KEY.fullmatch(part) else quoted(part)
        text += f".{key}" if text else key
    return text


def quoted(text: str, length_max: int = 60) -> str:
    """``text`` in double quotes, on one line and not longer than ``length_max`` characters."""
    if len(text) > length_max:
        text = text[: length_max - 1] + "…"
    plain = "".join(
        c if c.isprintable() and c != "\ufeff" else f"\\u{ord(c):04x}"
        for c in text.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{plain}"'


def render(problems: Iterable[Problem]) -> str:
    """One line a problem, in the order of :func:`in_order`."""
    return "\n".join(str(problem) for problem in in_order(problems))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file, line and key, each said once."""
    return sorted(
        dict.fromkeys(problems), key=lambda p: (p.file, p.line, path_text(p.path), p.message)
    )


def nearest(word: str, known: Collection[str]) -> str:
    """The one of ``known`` that ``word`` was probably meant to be, or ``""``."""
    plain = word.lower().replace("-", "_")
    by_plain = {name.lower().replace("-", "_"): name for name in known}
    if plain in by_plain:
        return by_plain[plain]
    close = difflib.get_close_matches(plain, by_plain, n=1, cutoff=_CLOSE_ENOUGH)
    if close:
        return by_plain[close[0]]
    longer = [name for name in by_plain if len(plain) > 2 and name.startswith(plain)]
    return by_plain[longer[0]] if len(longer) == 1 else ""


def suggestion(word: str, known: Collection[str], what: str = "known") -> str:
    """A hint: the nearest of ``known``, or all of them where none is near and they are few."""
    near = nearest(word, known)
    if near:
        return f"did you mean {quoted(near)}?"
    if 0 < len(known) <= _KEYS_SHOWN_MAX:
        return f"{what}: {', '.join(sorted(known))}"
    return ""
