"""``penstock key``: who may use the HTTP API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from penstock.cli_common import (
    CONFIG,
    WRONG,
    AsJson,
    CommandError,
    Config,
    ask,
    asking,
    duration,
    print_json,
    user_name,
)

app = typer.Typer(no_args_is_help=True)


@app.command()
@asking
def create(
    scope: Annotated[
        str, typer.Option("--scope", help="What it may do: send, read, admin; commas between.")
    ] = "send,read",
    tenant: Annotated[
        str, typer.Option("--tenant", help="The one tenant that it is for; all if not given.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="For people: what it is for.")] = "",
    networks: Annotated[
        str, typer.Option("--networks", help="Where it is good from: 192.0.2.0/24,...")
    ] = "",
    rate: Annotated[str, typer.Option("--rate", help="Requests: 100/s, or 100/s burst 20.")] = "",
    message_rate: Annotated[
        str, typer.Option("--message-rate", help="Recipients that it sends to: 1000/min.")
    ] = "",
    request_size: Annotated[
        str, typer.Option("--request-size", help="The largest body: 1 MiB.")
    ] = "",
    expires: Annotated[
        str, typer.Option("--expires", help="How long it is good: 90d. For ever if not given.")
    ] = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: only a hash of it is kept."""
    params: dict[str, Any] = {"scopes": _list(scope), "networks": _list(networks)}
    params |= {"tenant": tenant, "name": name, "who": user_name()}
    params |= {"rate": rate or None, "message_rate": message_rate or None}
    if request_size:
        params["request_bytes_max"] = _size(request_size)
    if expires:
        until = datetime.now(UTC) + timedelta(seconds=duration(expires))
        params["expires_at"] = until.isoformat()
    made = ask(config, "keys.create", params)
    if as_json:
        print_json(made)
        return
    typer.echo(made["secret"])
    typer.echo(f"{line_of(made)}; it is not shown again", err=True)


@app.command("list")
@asking
def list_(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show the keys, without their secrets."""
    answer = ask(config, "keys.list")
    if as_json:
        print_json(answer)
        return
    for key in answer["keys"]:
        typer.echo(line_of(key))
    if not answer["keys"]:
        typer.echo("no keys: penstock key create makes one")


@app.command()
@asking
def revoke(
    id: Annotated[str, typer.Argument(metavar="ID", help="As penstock key list shows it.")],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Make a key worthless, everywhere and within a second."""
    number = id.split("_")[1] if id.startswith("psk_") and id.count("_") > 1 else id
    revoked = ask(config, "keys.revoke", {"id": number, "who": user_name()})
    if as_json:
        print_json(revoked)
    else:
        typer.echo(f"revoked {line_of(revoked)}")


def line_of(key: dict[str, Any]) -> str:
    """``h3k9mwq2xz7p  send,read  tenant shop  100/s  from 192.0.2.0/24  "shop's server"``."""
    parts = [key["id"], ",".join(key["scopes"])]
    parts.append(f"tenant {key['tenant']}" if key["tenant"] else "all tenants")
    parts += [f"{key['rate']} requests"] if key["rate"] else []
    parts += [f"{key['message_rate']} recipients"] if key["message_rate"] else []
    parts += [f"bodies up to {key['request_bytes_max']}"] if key["request_bytes_max"] else []
    parts += [f"from {', '.join(key['networks'])}"] if key["networks"] else []
    parts += [f"until {key['expires_at']}"] if key["expires_at"] else []
    parts += [f'"{key["name"]}"'] if key["name"] else []
    return "  ".join(parts)


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _size(text: str) -> int:
    from penstock.policy.units import parse_size

    try:
        return parse_size(text)
    except ValueError as error:
        raise CommandError(str(error), WRONG) from None
