"""A mail in parts, by one pass over its lines: bounded however many parts it claims to have.

The standard library's parser builds an object for each part and recurses for each level, so a bomb
of 100,000 parts or 1,000 levels costs seconds and a stack. A report needs its first few parts, flat
and in order. So boundaries are looked up in a table of those that are open, and what is beyond the
limits is left as it is. A mail within the mail stays whole, its boundaries being nobody's here.

Reports are often broken: parts without a header, boundaries that are announced and never come,
a space before them. All that is read as well as it can be.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from penstock.feedback.report_decode import bytes_of, plain_of, text_of, words_of
from penstock.feedback.report_values import ReportLimits

_NAME = re.compile(r"[!-9;-~]{1,80}")
_PARAMETER = re.compile(
    r';\s{0,80}([a-zA-Z-]{1,40})\*?0?\*?\s{0,8}=\s{0,8}(?:"([^"]{0,300})"|([^\s;]{0,300}))'
)
_CONTINUES = re.compile(r"(?:boundary|charset|report-type)=", re.IGNORECASE)  # not folded
_BOUNDARY = re.compile(rb"(?m)^[ \t]?--([^\r\n]{1,250})\r?$")
_END_OF_HEADER = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class Fields(NamedTuple):
    """The fields of a header, in order: names in lower case, values unfolded and decoded."""

    items: tuple[tuple[str, str], ...] = ()

    def get(self, name: str) -> str:
        """The value of the first field of that name, ``""`` where there is none."""
        for known, value in self.items:
            if known == name:
                return value
        return ""

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.items if known == name]

    def has(self, name: str) -> bool:
        return any(known == name for known, _ in self.items)


NO_FIELDS = Fields()


class Part(NamedTuple):
    """``kind`` like ``text/plain``; ``body`` still in its transfer encoding."""

    fields: Fields
    kind: str
    parameters: dict[str, str]
    body: bytes

    def raw(self, limits: ReportLimits) -> bytes:
        """The body without its transfer encoding, as far as it is read."""
        body = self.body[: 2 * limits.text_bytes_max]
        return bytes_of(body, self.fields.get("content-transfer-encoding"))

    def text(self, limits: ReportLimits) -> str:
        """The body as a reader sees it, lines parted by a bare newline."""
        raw = self.raw(limits)[: limits.text_bytes_max]
        text = text_of(raw, self.parameters.get("charset", ""))
        if self.kind == "text/html":
            text = plain_of(text)
        return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def header_of(raw: bytes, limits: ReportLimits) -> Fields:
    """The fields in ``raw``, which is a header or begins with one."""
    end = _END_OF_HEADER.search(raw, 0, limits.header_bytes_max)
    raw = raw[: end.start() if end else limits.header_bytes_max]
    return fields_of(text_of(raw).replace("\r\n", "\n"), limits)


def fields_of(text: str, limits: ReportLimits) -> Fields:
    """The fields in the lines of ``text``; what is no field is passed over."""
    found: list[tuple[str, str]] = []
    name, lines, room = "", list[str](), limits.value_chars_max
    for line in (*text.split("\n"), ""):
        if line and (line[0] in " \t" or _CONTINUES.match(line)):
            if room > 0:
                lines.append(line[:room])
                room -= len(line)
            continue
        if name:
            found.append((name.lower(), _value(lines, limits)))
            if len(found) >= limits.fields_max:
                return Fields(tuple(found))
        name, colon, rest = line.partition(":")
        name = name.rstrip(" \t") if colon else ""
        name = name if _NAME.fullmatch(name) else ""
        lines, room = [rest.lstrip()[: limits.value_chars_max]], limits.value_chars_max - len(rest)
    return Fields(tuple(found))


def _value(lines: list[str], limits: ReportLimits) -> str:
    value = words_of(" ".join(line.strip() for line in lines).strip())
    return _CONTROLS.sub("", value.replace("\n", " "))[: limits.value_chars_max].strip()


def kind_of(fields: Fields) -> tuple[str, dict[str, str]]:
    """The content type, in lower case, and its parameters by names in lower case."""
    value = fields.get("content-type")
    kind = value.partition(";")[0].strip().lower() or "text/plain"
    parameters = {
        name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(value)
    }
    return kind, parameters


def parts_of(content: bytes, limits: ReportLimits) -> list[Part]:
    """The leaves of ``content`` in order; the first one is the whole where it has no parts."""
    return _Splitter(content[: limits.content_bytes_max], limits).parts


class _Head(NamedTuple):
    """A part whose end has not come yet; its body starts at ``body``."""

    fields: Fields
    kind: str
    parameters: dict[str, str]
    body: int


class _Splitter:
    """``_open`` leads from the boundaries that are open to their depths; every part counts, those
    that hold others too."""

    def __init__(self, content: bytes, limits: ReportLimits) -> None:
        self._content, self._limits = content, limits
        self._open: dict[bytes, int] = {}
        self._count = 0
        self.parts: list[Part] = []
        self._split()
        if not self.parts:  # a multipart that holds nothing
            fields = header_of(content, limits)
            self.parts.append(Part(fields, "text/plain", {}, content))

    def _split(self) -> None:
        pending = self._begin(0)
        start = pending.body if pending else 0
        for line in _BOUNDARY.finditer(self._content, start):
            text = line[1].rstrip()
            depth = self._open.get(text)
            last = depth is None
            if depth is None:
                depth = self._open.get(text.removesuffix(b"--"))
            if depth is None:
                continue
            self._end(pending, line.start())
            if self._count >= self._limits.parts_max:
                return
            self._open = {name: at for name, at in self._open.items() if at < depth + (not last)}
            pending = None if last else self._begin(line.end() + 1)
        self._end(pending, len(self._content))

    def _begin(self, start: int) -> _Head | None:
        """The part whose header stands at ``start``; ``None`` for one that holds others, whose
        boundary is open now."""
        content, limits = self._content, self._limits
        self._count += 1
        if content[start : start + 1] in b"\r\n" or content.startswith(b"--", start):
            return _Head(NO_FIELDS, "text/plain", {}, start)  # nothing, or no header
        stop = start + limits.header_bytes_max
        boundary_at = content.find(b"\n--", start, stop)  # no field begins so
        stop = boundary_at + 1 if boundary_at >= 0 else stop
        gap = _END_OF_HEADER.search(content, start, stop)
        stop = gap.start() if gap else stop
        fields = header_of(content[start:stop], limits)
        kind, parameters = kind_of(fields)
        body = gap.end() if gap else min(stop, len(content))
        if kind.startswith("multipart/"):
            boundary = parameters.get("boundary", "").rstrip().encode("utf-8", "replace")
            if not boundary or content.find(b"--" + boundary, stop) < 0:
                return _Head(fields, "text/plain", {}, body)
            if len(self._open) < limits.depth_max:
                self._open[boundary] = len(self._open)
                return None
        return _Head(fields, kind, parameters, body)

    def _end(self, head: _Head | None, end: int) -> None:
        if head is not None:
            body = self._content[head.body : end]
            self.parts.append(Part(head.fields, head.kind, head.parameters, body))
