"""``penstock tls``: what TLS holds for a domain, and who says so."""

from __future__ import annotations

from typing import Annotated

import typer

from penstock.cli_common import CONFIG, AsJson, Config, ask, command, print_json
from penstock.cli_tls_check import check
from penstock.cli_tls_report import report

app = typer.Typer(no_args_is_help=True)
app.command()(check)
app.command()(report)


@app.callback()
def _group() -> None:
    """Keeps ``show`` a command of its own while it is the only one."""


@app.command()
@command
def show(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A recipient domain.")],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what TLS connections for a domain must have: policy, MTA-STS, DANE."""
    answer = ask(config, "tls.show", {"domain": domain})
    if as_json:
        print_json(answer)
        return
    from penstock.cli_tls_show import show_tls

    show_tls(answer)
