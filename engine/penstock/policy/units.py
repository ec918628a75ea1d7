"""Sizes and durations as people write them: ``"64 MiB"``, ``"5m"``; and back again."""

from __future__ import annotations

import re

SIZE_PATTERN = r"\s*(\d[\d_]{0,15}(?:\.\d{1,6})?)\s*([a-zA-Z]*)\s*"
_SIZE_UNITS = {"B": 1} | {
    f"{prefix}{suffix}": base**power
    for base, suffix in ((1024, "iB"), (1000, "B"))
    for power, prefix in enumerate(
        ("K", "M", "G", "T") if base == 1024 else ("k", "M", "G", "T"), start=1
    )
}
_SIZE_UNITS["KB"] = 1000
_BY_LOWER = {name.lower(): factor for name, factor in _SIZE_UNITS.items()}
DURATION_PATTERN = r"\s*(?:\d{1,9}(?:\.\d{1,6})?\s*(?:ms|s|sec|m|min|h|d|day|days)\s*)+"
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|sec|s|min|m|h|days|day|d)")
_DURATION_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "days": 86400.0,
}


def parse_size(text: str) -> int:
    """Bytes; ``ValueError`` says what is wrong. KiB is 1024 bytes, kB 1000."""
    found = re.fullmatch(SIZE_PATTERN, text)
    if found is None:
        raise ValueError(f'not a size: {text!r}; write "64 MiB" or a number of bytes')
    number, unit = found.groups()
    factor = _BY_LOWER.get(unit.lower())
    if factor is None:
        raise ValueError(f'a size needs a unit, like "64 MiB" (B, KiB, MiB, GiB, TiB), in {text!r}')
    return int(float(number.replace("_", "")) * factor)


def parse_duration(text: str) -> float:
    """Seconds; ``"1h30m"`` adds up. ``ValueError`` says what is wrong."""
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError(f'not a duration: {text!r}; write "5m", "30s", "1h" or "2d"')
    return sum(float(n) * _DURATION_UNITS[unit] for n, unit in _DURATION_PART.findall(text))


def size_text(size_bytes: int) -> str:
    """``67108864`` as ``64 MiB``: the largest unit that gives a whole number."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        number, rest = divmod(size_bytes, _SIZE_UNITS[unit])
        if number and not rest:
            return f"{number} {unit}"
    return f"{size_bytes} B"


def duration_text(seconds: float) -> str:
    """``300.0`` as ``5m``: the largest unit that gives a whole number."""
    if not seconds:
        return "0s"
    for unit in ("d", "h", "m", "s"):
        number, rest = divmod(seconds, _DURATION_UNITS[unit])
        if number and not rest:
            return f"{int(number)}{unit}"
    return f"{round(seconds * 1000)}ms"
