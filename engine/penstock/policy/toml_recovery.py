"""All syntax errors of a TOML text, not the first alone.

``tomllib`` stops at its first error. So the text is cut into statements at the lines that look like
the start of one (``key =`` or ``[table]``); each is parsed alone, joined with what follows while it
is merely unfinished. A broken one is reported and blanked out, under a broken ``[table]`` header
all of its keys. What remains is parsed as a whole; keys set twice show then, and are blanked too.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, NamedTuple

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_START = re.compile(rf"[ \t]*(?:\[|{_KEY}(?:[ \t]*\.[ \t]*{_KEY})*[ \t]*=)")
_HEADER = re.compile(r"[ \t]*\[")
_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_WORD_VALUE = re.compile(r"=\s*([A-Za-z][\w.:/@-]*)\s*(?:#.*)?$")
_ERRORS_MAX = 50
_JOINS_MAX = 500


class SyntaxFault(NamedTuple):
    """One error; ``line`` counts from 1."""

    line: int
    message: str
    hint: str = ""


class Recovered(NamedTuple):
    """``text`` has as many lines as the original, broken statements blank; ``data`` its values."""

    text: str
    data: dict[str, Any]
    errors: list[SyntaxFault]


class _Error(NamedTuple):
    """What ``tomllib`` said; ``line`` counts from 0, ``None`` at the end of the text."""

    message: str
    line: int | None


def recover(text: str) -> Recovered:
    """Read what can be read of ``text``, which ``tomllib`` refuses."""
    recovery = _Recovery(text)
    recovery.check_statements()
    data = recovery.check_whole()
    return Recovered("\n".join(recovery.lines), data, recovery.errors)


def _read(lines: list[str]) -> dict[str, Any] | _Error:
    try:
        return tomllib.loads("\n".join(lines) + "\n")
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.search(str(error))
        message = _PLACE.sub("", str(error))
        line = int(found[1]) - 1 if found and found[1] else None
        return _Error(message, line)
    except RecursionError:
        return _Error("arrays or tables nested too deeply", 0)
    except ValueError:
        return _Error("a number with too many digits", 0)


class _Recovery:
    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.errors: list[SyntaxFault] = []
        self._starts = [n for n, line in enumerate(self.lines) if n == 0 or _START.match(line)]
        self._starts.append(len(self.lines))

    def check_statements(self) -> None:
        index = 0
        while index < len(self._starts) - 1 and len(self.errors) < _ERRORS_MAX:
            index += self._check_statement(index)

    def check_whole(self) -> dict[str, Any]:
        """Blank out what clashes with something before it, until the whole can be read."""
        while len(self.errors) < _ERRORS_MAX:
            result = _read(self.lines)
            if not isinstance(result, _Error):
                return result
            line = len(self.lines) - 1 if result.line is None else result.line
            start = max((s for s in self._starts if s <= line), default=0)
            if not any(self.lines[start : line + 1]):
                self._report(line, result)
                break
            self._report(start, result)
            end = min((s for s in self._starts if s > line), default=len(self.lines))
            self._drop(start, end)
        result = _read(self.lines)
        return {} if isinstance(result, _Error) else result

    def _check_statement(self, index: int) -> int:
        """Check the statement that starts at ``index``; returns how many starts it covers."""
        start, end = self._starts[index], self._starts[index + 1]
        first = result = _read(self.lines[start:end])
        if not isinstance(first, _Error):
            return 1
        joined = 1
        while isinstance(result, _Error) and result.line is None:
            joined += 1
            if index + joined >= len(self._starts) or joined > _JOINS_MAX:
                break
            result = _read(self.lines[start : self._starts[index + joined]])
        if not isinstance(result, _Error):
            return joined
        self._mend(start, end, first)
        return 1

    def _mend(self, start: int, end: int, error: _Error) -> None:
        """Report the lines at fault between ``start`` and ``end`` and keep the good ones."""
        while error.line:
            wrong = start + error.line
            if isinstance(_read(self.lines[start:wrong]), _Error):
                break
            self._report(wrong, error)
            self.lines[wrong] = ""
            result = _read(self.lines[start:end])
            if not isinstance(result, _Error) or len(self.errors) >= _ERRORS_MAX:
                return
            error = result
        self._report(start + (error.line or 0), error)
        self._drop(start, end)

    def _drop(self, start: int, end: int) -> None:
        """Blank out a statement; with a table's header, the whole of that table."""
        if _HEADER.match(self.lines[start]):
            end = next(
                (s for s in self._starts if s >= end and self._is_header(s)), len(self.lines)
            )
        self.lines[start:end] = [""] * (end - start)

    def _is_header(self, line: int) -> bool:
        return line < len(self.lines) and bool(_HEADER.match(self.lines[line]))

    def _report(self, line: int, error: _Error) -> None:
        message, hint = _plain(error.message, self.lines[line])
        self.errors.append(SyntaxFault(line + 1, message, hint))


def _plain(message: str, line: str) -> tuple[str, str]:
    """What ``tomllib`` says, in the words of someone who edits a file; with a hint."""
    word = _WORD_VALUE.search(line)
    if message == "Invalid value" and word:
        if word[1].lower() in ("true", "yes", "on", "false", "no", "off"):
            return "not a value", "write true or false"
        return "not a value", f'a text stands in quotes: "{word[1]}"'
    if message.startswith("Cannot overwrite"):
        return "this key was set before", "a key may be set only once"
    if message.startswith("Cannot declare"):
        return "this table was opened before", "put its keys together under one header"
    if "Illegal character '\\n'" in message:
        return "the text in quotes does not end on its line", "close the quotes"
    if message == "Unterminated string":
        return "the text in quotes never ends", "close the quotes"
    if message == "Invalid value" and line.rstrip().endswith(("[", ",")):
        return "the array that starts here never ends", "close it with ]"
    if message == "Invalid statement" or message.startswith("Expected '=' after a key"):
        return "not a statement", "write key = value, or [table]"
    return message[:1].lower() + message[1:], ""
