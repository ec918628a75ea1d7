"""``penstock tls check``: whether the resolvers validate DNSSEC, which DANE needs."""

from __future__ import annotations

import asyncio

import typer

from penstock.cli_common import CONFIG, FAILED, CommandError, Config, command, load_settings

_ROOT = "."  # signed since 2010: who validates anything validates this


@command
def check(config: Config = CONFIG) -> None:
    """Say whether the resolvers that DANE asks validate, and whether they are believed."""
    from penstock.relay.dnssec import Answer, DnssecConfig, ask, config_of

    settings = load_settings(config)
    found = config_of(settings.tls.dane_nameservers)
    if not found.nameservers:
        raise CommandError("there is no resolver: /etc/resolv.conf names none")
    good = True
    for server in found.nameservers:
        answer = asyncio.run(ask(DnssecConfig((server,), trusted=True), _ROOT, "SOA"))
        if not isinstance(answer, Answer):
            good, what = False, answer.why
        elif answer.secure:
            what = "validates DNSSEC"
        else:
            good, what = False, "answers, and does not validate DNSSEC"
        typer.echo(f"{server}: {what}")
    if not found.trusted:
        good = False
        typer.echo(
            "not believed: the system's resolvers are not on this machine; name those that are "
            "to be believed in [tls] dane_nameservers"
        )
    typer.echo(f"DANE is {'on' if settings.tls.dane else 'off'} ([tls] dane)")
    if not good:
        raise typer.Exit(FAILED)
