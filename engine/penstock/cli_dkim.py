"""``penstock dkim``: signing keys, and what DNS must say about them."""

from __future__ import annotations

import contextlib
import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from penstock.cli_common import (
    CONFIG,
    WRONG,
    CommandError,
    Config,
    ask,
    asking,
    command,
    load_settings,
    remote,
)

app = typer.Typer(no_args_is_help=True)

KeyFile = Annotated[Path, typer.Argument(metavar="FILE", help="PEM file of the private key.")]
Domain = Annotated[str, typer.Option("--domain", "-d", help="The domain that signs.")]
Selector = Annotated[str, typer.Option("--selector", "-s", help="The key's name in DNS.")]


class Kind(StrEnum):
    """Types of keys that DKIM knows."""

    rsa = "rsa"
    ed25519 = "ed25519"


@app.command()
@command
def keygen(
    file: KeyFile,
    domain: Domain = "",
    selector: Selector = "s1",
    kind: Annotated[Kind, typer.Option("--type", help="Type of key.")] = Kind.rsa,
    bits: Annotated[int, typer.Option(help="Size of an RSA key.")] = 2048,
) -> None:
    """Make a private key, readable by you alone; an existing file is never overwritten."""
    from penstock.mail.dkim_keys import BadKey
    from penstock.mail.dkim_keys import keygen as make

    if file.exists() or file.is_symlink():
        raise CommandError(f"{file} exists already; it is not overwritten")
    try:
        pem = make(kind.value, bits)
    except BadKey as error:
        raise CommandError(str(error), WRONG) from None
    write_secret(file, pem)
    typer.echo(f"wrote {file}")
    if domain:
        typer.echo("publish this, then add the key to the settings:\n")
        _print_records(file, domain, selector)
        typer.echo(f'\n[[dkim]]\ndomain = "{domain}"\nselector = "{selector}"\nkey = "{file}"')


@app.command()
@asking
def dns(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="A key; else all in use.")] = "",
    domain: Domain = "",
    selector: Selector = "s1",
    config: Config = CONFIG,
) -> None:
    """Print the TXT records to publish, of one key or of all keys in the settings."""
    if file:
        if not domain:
            raise CommandError("say for which --domain the key signs", WRONG)
        _print_records(Path(file), domain, selector)
        return
    if remote() is not None:
        _print_theirs(ask(config, "dkim.records")["records"], domain)
        return
    entries = [
        entry for entry in load_settings(config).dkim if not domain or entry.domain == domain
    ]
    if not entries:
        whose = f" of {domain}" if domain else ""
        raise CommandError(f"{config} has no [[dkim]]{whose}; make a key with penstock dkim keygen")
    for entry in entries:
        _print_records(Path(entry.key), entry.domain, entry.selector)


def _print_theirs(records: list[dict[str, str]], domain: str) -> None:
    """Of the daemon that ``--url`` names, which has the keys."""
    found = [one for one in records if not domain or one["domain"] == domain]
    if not found:
        raise CommandError(f"the daemon has no [[dkim]]{f' of {domain}' if domain else ''}")
    for one in found:
        if one["problem"]:
            raise CommandError(one["problem"])
        typer.echo(one["zone"], nl=False)


def _print_records(file: Path, domain: str, selector: str) -> None:
    from penstock.mail.dkim_keys import BadKey, load_key, zone_entry

    try:
        key = load_key(file.read_bytes())
    except BadKey as error:
        raise CommandError(f"{file}: {error}") from None
    typer.echo(zone_entry(selector, domain, key), nl=False)


def write_secret(file: Path, text: str) -> None:
    """Whole, on disk and private from its first byte, or not there at all."""
    try:
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise CommandError(f"{file} exists already; it is not overwritten") from None
    try:
        with os.fdopen(fd, "w", encoding="ascii") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(file)
        raise
