"""The texts of the page, and which language a reader wants (RFC 9110 12.5.4, RFC 4647 3.4)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib.resources import files

_HEADER_CHARS_MAX = 500
_RANGES_MAX = 32

Texts = Mapping[str, str]


def load_texts() -> dict[str, Texts]:
    """Language -> key -> text. All have the keys of the first, or it is a ``ValueError``."""
    content = files("penstock.unsubscribe").joinpath("texts.toml").read_text("utf-8")
    languages: dict[str, Texts] = tomllib.loads(content)
    keys = next(iter(languages.values())).keys()
    for language, texts in languages.items():
        if texts.keys() != keys:
            raise ValueError(f"[{language}]: differs in {sorted(texts.keys() ^ keys)}")
    return languages


def choose(accept_language: str, languages: Mapping[str, Texts]) -> str:
    """The one of ``languages`` that is wanted most; the first where none is."""
    wanted: list[tuple[float, int, str]] = []
    for number, item in enumerate(accept_language[:_HEADER_CHARS_MAX].split(",")[:_RANGES_MAX]):
        name, _, parameters = item.strip().lower().partition(";")
        quality = _quality(parameters)
        if quality > 0:
            wanted.append((-quality, number, name.strip()))
    by_name = {language.lower(): language for language in languages}
    for _, _, name in sorted(wanted):
        if name == "*":
            break
        shorter = name
        while shorter:  # ru-RU is ru
            if shorter in by_name:
                return by_name[shorter]
            shorter = shorter.rpartition("-")[0]
    return next(iter(languages))


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
