"""The option tables of the documentation, from the models:
``python -m penstock.settings.reference``.

Prints the pages; with a directory as argument writes ``config.md`` and ``policies.md`` there
(``docs/reference``).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.policy.fields import Shown
from penstock.policy.model_keys import keys_of, tables
from penstock.policy.models import LimitsTable, ProviderFile, ProviderLimitsTable
from penstock.settings.models import Settings

_NUMBER = re.compile(r"\d+(\.\d+)?")
_NARROW = LimitsTable.model_fields
_CONFIG_HEAD = """\
# config.toml

`penstock check --config FILE` reports every mistake in the file, with its line. Relative paths
count from the file's own directory. Sizes are bytes or texts like `"64 MiB"`, durations are
seconds or texts like `"5m"`, rates are texts like `"100/min"` or `"100/min burst 20"`.

This page is generated: `python -m penstock.settings.reference docs/reference`.
"""
_POLICIES_HEAD = """\
# Policy files

Traffic policy is data: `policies/default.toml`, and one `policies/providers/NAME.toml` for each
mailbox provider. Layers, later wins: built-in (the defaults below), `default.toml`, provider, site,
domain. A key that is not written leaves the value of the layer below. A rate spreads its messages
over its period: without `burst`, at most a second's worth passes at once.

A domain belongs to a provider if it is listed under `domains`, or if all its MX hosts end with one
of the suffixes under `mx`; the longest suffix wins. A site is the set of MX hosts that serves a
domain.

This page is generated: `python -m penstock.settings.reference docs/reference`.
"""
_NARROWER = "In any of the files, for one site or one recipient domain: the keys of `[limits]` but"


def config_page() -> str:
    """``docs/reference/config.md``."""
    return _page(_CONFIG_HEAD, Settings)


def policies_page() -> str:
    """``docs/reference/policies.md``."""
    narrower = [f"`{n}`" for n in ProviderLimitsTable.model_fields if n not in _NARROW]
    return "\n".join(
        [
            _POLICIES_HEAD,
            "## `providers/NAME.toml`\n",
            "How a provider is told. The file's name is the provider's.\n",
            _table(ProviderFile),
            "## `[limits]`\n",
            "In `default.toml` for every destination, in a provider's file for its own.\n",
            _table(ProviderLimitsTable),
            "## `[site.NAME]`, `[domain.NAME]`\n",
            f"{_NARROWER} {' and '.join(narrower)}.\n",
        ]
    )


def _page(head: str, model: type[BaseModel]) -> str:
    parts = [head, "## At the top, before the first [table]\n"]
    for header, table in tables(model):
        if header:
            parts += [f"## `{header}`\n", f"{(table.__doc__ or '').strip()}\n"]
        parts.append(_table(table))
    return "\n".join(parts)


def _table(model: type[BaseModel]) -> str:
    rows = ["| name | type | default | description |", "|---|---|---|---|"]
    for name, info in keys_of(model).items():
        if _is_table(info.annotation):
            continue
        kind, default = type_text(info), default_text(info)
        rows.append(f"| `{name}` | {kind} | {default} | {info.description} |".replace("  ", " "))
    return "\n".join(rows) + "\n"


def _is_table(annotation: Any) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_is_table(argument) for argument in get_args(annotation))


def type_text(info: FieldInfo) -> str:
    """What may be written for this field."""
    low = high = None
    for item in info.metadata:
        if isinstance(item, Ge | Gt):
            low = item.ge if isinstance(item, Ge) else item.gt
        elif isinstance(item, Le | Lt):
            high = item.le if isinstance(item, Le) else item.lt
    shown = _shown(info.metadata)
    kind = shown.kind if shown else _kind(info.annotation)
    if low is None and high is None:
        return kind
    write = shown.write if shown else str
    if high is None:
        return f"{kind}; {write(low)} or more"
    return f"{kind}; {write(low)} to {write(high)}"


def default_text(info: FieldInfo) -> str:
    """The default as it would be written; ``required`` where there is none."""
    if info.is_required():
        return "required"
    shown, value = _shown(info.metadata), info.default
    if isinstance(value, tuple):
        return f"`[{', '.join(_literal(str(item)) for item in value)}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{_literal(shown.write(value) if shown else str(value))}`"


def _literal(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else f'"{text}"'


def _shown(metadata: list[Any]) -> Shown | None:
    return next((item for item in metadata if isinstance(item, Shown)), None)


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    shown = _shown(list(getattr(annotation, "__metadata__", ())))
    if shown is not None:
        return shown.kind
    names = {int: "integer", float: "number", bool: "true or false", str: "text", NoneType: ""}
    return names.get(annotation, str(annotation))


def main(arguments: list[str]) -> int:
    pages = {"config.md": config_page(), "policies.md": policies_page()}
    if not arguments:
        sys.stdout.write("\n".join(pages.values()))
        return 0
    for name, text in pages.items():
        Path(arguments[0], name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
