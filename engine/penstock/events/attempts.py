"""One line for each attempt, at a few microseconds.

Formatting is by hand, since it runs for every delivery: what repeats (second, tenant, route) is
formatted once and remembered, values of others pass through :mod:`penstock.events.escape`. Lines
are gathered and handed over by ``flush``, which the owner calls every 0.1 s. When the reader is
slower than the mail, lines are dropped and counted, never waited for.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from penstock.events.escape import bare, quoted
from penstock.events.types import Attempt
from penstock.mail.verdict import Verdict

TEXT_CHARS_MAX = 500
VALUE_CHARS_MAX = 320  # an address: RFC 5321 section 4.5.3.1, with its angle brackets and more
_REMEMBERED_MAX = 4096
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}").fullmatch  # RFC 3463 section 2


@dataclass(frozen=True, slots=True)
class AttemptLogConfig:
    """``flush_bytes``: handed over at once beyond this; ``buffer_bytes_max``: kept at most."""

    format: Literal["console", "json"] = "console"
    flush_bytes: int = 64 << 10
    buffer_bytes_max: int = 4 << 20


class AttemptLog:
    """``write(data) -> bytes taken`` is :meth:`penstock.events.writer.Writer.write` or a like.

    ``on_drop(lines)`` is told of every line that found no room.
    """

    def __init__(
        self,
        write: Callable[[bytes], int],
        config: AttemptLogConfig,
        on_drop: Callable[[int], None] | None = None,
    ) -> None:
        self._write = write
        self._config = config
        self._on_drop = on_drop
        self._lines: list[str] = []
        self._bytes = 0
        self._rest = b""
        self._dropped = 0
        self._second = -1
        self._second_text = ""
        self._remembered: dict[tuple[str, ...], str] = {}
        self._codes: dict[str, bool] = {}
        self._as_json = config.format == "json"
        self._bare = quoted if self._as_json else bare

    def add(self, attempt: Attempt) -> None:
        """Format and buffer; nothing is raised for a full buffer."""
        at, _, _, _, tenant, campaign, provider, site, outcome, _, _, _, source, _ = attempt
        second = int(at)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        ts = f"{self._second_text}.{int((at - second) * 1000):03d}Z"
        key = (tenant, campaign, provider, source, site, outcome.host, outcome.address, outcome.tls)
        route = self._remembered.get(key) or self._remember(key)
        enhanced, text = self._split(outcome.reply.lines)
        line = (_json if self._as_json else _console)(attempt, ts, route, enhanced, text)
        size = len(line)
        if self._bytes + size > self._config.buffer_bytes_max:
            self._dropped += 1
            if self._on_drop is not None:
                self._on_drop(1)
            return
        self._lines.append(line)
        self._bytes += size
        if self._bytes >= self._config.flush_bytes and not self._rest:
            self.flush()

    def flush(self) -> bool:
        """Hand over what is gathered; False while the reader has not taken all of it."""
        data = self._rest
        if self._lines:
            data += "".join(self._lines).encode()
            self._lines.clear()
        if data:
            self._rest = data[self._write(data) :]
            self._bytes = len(self._rest)
        return not self._rest

    def stats(self) -> dict[str, float]:
        return {"buffered_bytes": self._bytes, "dropped": self._dropped}

    def _remember(self, key: tuple[str, ...]) -> str:
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        values = [self._bare(one[:VALUE_CHARS_MAX]) if one else '""' for one in key]
        pairs = zip(_ROUTE, values, strict=True)
        if self._as_json:
            route = ",".join(f'"{name}":{value}' for name, value in pairs)
        else:
            route = " ".join(f"{name}={value}" for name, value in pairs)
        self._remembered[key] = route
        return route

    def _split(self, lines: tuple[str, ...]) -> tuple[str, str]:
        """The enhanced code, and the text without it and its repetitions, cut to length."""
        head, _, rest = lines[0].partition(" ")
        known = self._codes.get(head)
        if known is None:
            known = _ENHANCED(head) is not None
            if known and len(self._codes) < _REMEMBERED_MAX:
                self._codes[head] = True
        if len(lines) > 1:
            more = (line.partition(" ") for line in lines[1:])
            texts = [text if _ENHANCED(code) else code + gap + text for code, gap, text in more]
            rest = " ".join((rest if known else lines[0], *texts))
        elif not known:
            rest = lines[0]
        return (head if known else ""), rest[:TEXT_CHARS_MAX].strip()


_ROUTE = ("tenant", "campaign", "provider", "source", "site", "host", "address", "tls")


def _console(attempt: Attempt, ts: str, route: str, enhanced: str, text: str) -> str:
    _, id_, recipient, sender, _, _, _, _, outcome, number, age_s, duration_s, _, said = attempt
    verdict = f" {_console_verdict(said)}" if said is not None else ""
    return (
        f"ts={ts} event=attempt id={id_} recipient={bare(recipient[:VALUE_CHARS_MAX])} "
        f"sender={bare(sender[:VALUE_CHARS_MAX])} {route} phase={outcome.phase._value_} "
        f"kind={outcome.kind._value_} code={outcome.reply.code} enhanced={enhanced or _NONE} "
        f"reply={quoted(text)} attempt={number} age_s={age_s:.3f} duration_s={duration_s:.3f}"
        f"{verdict}\n"
    )


def _json(attempt: Attempt, ts: str, route: str, enhanced: str, text: str) -> str:
    _, id_, recipient, sender, _, _, _, _, outcome, number, age_s, duration_s, _, said = attempt
    verdict = f",{_json_verdict(said)}" if said is not None else ""
    return (
        f'{{"ts":"{ts}","event":"attempt","id":"{id_}",'
        f'"recipient":{quoted(recipient[:VALUE_CHARS_MAX])},'
        f'"sender":{quoted(sender[:VALUE_CHARS_MAX])},{route},"phase":"{outcome.phase._value_}",'
        f'"kind":"{outcome.kind._value_}","code":{outcome.reply.code},"enhanced":"{enhanced}",'
        f'"reply":{quoted(text)},"attempt":{number},"age_s":{age_s:.3f},'
        f'"duration_s":{duration_s:.3f}{verdict}}}\n'
    )


def _console_verdict(said: Verdict) -> str:
    category, fault = said.category._value_, said.fault._value_
    return f"category={category} fault={fault} rule={said.rule or _NONE}"


def _json_verdict(said: Verdict) -> str:
    category, fault = said.category._value_, said.fault._value_
    return f'"category":"{category}","fault":"{fault}","rule":"{said.rule}"'


_NONE = '""'
_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


def parse(line: str) -> dict[str, str] | None:
    """A line read back, in either format; ``None`` for a line of another kind."""
    fields: dict[str, str]
    if line.startswith("{"):
        try:
            fields = {name: str(value) for name, value in json.loads(line).items()}
        except (ValueError, AttributeError):
            return None
    elif line.startswith("ts="):
        try:
            fields = {
                name: str(json.loads(value)) if value.startswith('"') else value
                for name, value in _PAIR.findall(line)
            }
        except ValueError:
            return None
    else:
        return None
    return fields if fields.get("event") == "attempt" else None
