"""``penstock bounces``: what came back, asked of the running daemon."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli_common import CONFIG, AsJson, Config, ask, asking, print_json

app = typer.Typer(no_args_is_help=True)


@app.callback()
def bounces() -> None:
    """See what comes back, and what nobody could read."""


@app.command()
@asking
def unmatched(
    provider: Annotated[
        str | None, typer.Option("--provider", help="Only this provider's replies.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many texts.")
    ] = 50,
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the replies for which there is no rule, the most frequent first."""
    asked = {"limit": limit} | ({} if provider is None else {"provider": provider})
    answer = ask(config, "bounces.unmatched", asked)
    if as_json:
        print_json(answer)
        return
    from penstock.cli_show import show_unmatched

    show_unmatched(answer)
