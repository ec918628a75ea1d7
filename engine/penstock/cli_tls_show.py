"""How the answer of ``penstock tls show`` is written for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer


def show_tls(answer: Mapping[str, Any]) -> None:
    """One line a fact."""
    for name, value in answer.items():
        typer.echo(f"{name}: {value}")
