"""``penstock feedback``: the keys of tokens, what DNS must say, and what a token stands for."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli_common import (
    CONFIG,
    WRONG,
    AsJson,
    CommandError,
    Config,
    command,
    load_settings,
    print_json,
)
from penstock.cli_dkim import write_secret

if TYPE_CHECKING:
    from penstock.mail.verp import TokenKeys

app = typer.Typer(no_args_is_help=True)


@app.command()
@command
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
) -> None:
    """Make a file of keys for tokens, readable by you alone; none is overwritten."""
    from penstock.mail.verp_keys import SECRET_BYTES, first_key, keys_text

    if file.exists() or file.is_symlink():
        raise CommandError(f"{file} exists already; penstock feedback rotate adds a key to it")
    write_secret(file, keys_text(first_key(secrets.token_bytes(SECRET_BYTES), _today())))
    typer.echo(f"wrote {file}")
    typer.echo(f'add this to the settings:\n\n[feedback]\nkeys = "{file}"')


@app.command()
@command
def rotate(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Else that of the settings.")] = "",
    stage: Annotated[
        bool,
        typer.Option("--stage", help="Accept the new key, sign with the old one until the next."),
    ] = False,
    config: Config = CONFIG,
) -> None:
    """Put a new key in front; older ones are accepted still. Then: penstock reload."""
    from penstock.mail import verp_keys

    path = _file(file, config)
    keys = _load(path)
    secret = secrets.token_bytes(verp_keys.SECRET_BYTES)
    try:
        made = (verp_keys.stage if stage else verp_keys.rotate)(keys, secret, _today())
    except ValueError as error:
        raise CommandError(str(error)) from None
    _replace(Path(path), verp_keys.keys_text(made))
    first = made.current
    if stage:
        typer.echo(f"{path}: key {made.keys[-1].id} is accepted; key {first.id} signs still")
        typer.echo("copy the file to every machine, penstock reload there, then rotate")
    else:
        typer.echo(f"{path}: key {first.id} of {first.made} signs; {len(made.keys)} are accepted")
        typer.echo("penstock reload has the running daemon use it")


@app.command()
@command
def token(
    text: Annotated[str, typer.Argument(metavar="TOKEN", help="A token, address or link.")],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what a token stands for, and whether it is good."""
    from penstock.mail.envelope import id_text
    from penstock.mail.verp import DAY_S, BadToken, find_token, read_token

    found = find_token(text)
    plain = found.token if found else text.rstrip("/>").rpartition("/")[2]
    try:
        read = read_token(_load(_file("", config)), plain, time.time(), float("inf"))
    except BadToken as bad:
        raise CommandError(f"no good: {bad.reason}") from None
    day = time.strftime("%Y-%m-%d", time.gmtime(read.day * DAY_S))
    answer = {
        "purpose": {"b": "bounce", "u": "unsubscribe", "c": "complaint"}[read.purpose],
        "delivery" if read.exact else "message": id_text(read.ref),
        "made": day,
    }
    if as_json:
        print_json(answer)
    else:
        typer.echo("\n".join(f"{name}: {value}" for name, value in answer.items()))


@app.command()
@command
def dns(
    mx: Annotated[
        str, typer.Option("--mx", help="The host that takes reports; else our own name.")
    ] = "",
    config: Config = CONFIG,
) -> None:
    """Print the records to publish for the domains that reports come to."""
    from penstock.settings.feedback_check import domains
    from penstock.settings.loader import load_policy_directory

    settings = load_settings(config)
    policies = load_policy_directory(settings.policies)
    if isinstance(policies, list):
        raise CommandError("\n".join(map(str, policies)), WRONG)
    own = [domain for smtp in settings.smtp if smtp.role == "feedback" for domain in smtp.domains]
    named = sorted(domains(policies) | set(own))
    if not named:
        raise CommandError("no tenant has a [tenant.NAME.feedback] that names a domain")
    sources = [one for source in policies.sources.values() for one in (source.ipv4, source.ipv6)]
    known = [f"ip6:{one}" if ":" in one else f"ip4:{one}" for one in sources if one]
    spf = " ".join(["v=spf1", *(known or ["mx"]), "-all"])
    for domain in named:
        typer.echo(f"{domain}. MX 10 {(mx or settings.hostname).rstrip('.')}.")
        typer.echo(f'{domain}. TXT "{spf}"')


def _file(file: str, config: str) -> str:
    path = file or load_settings(config).feedback.keys
    if not path:
        raise CommandError(f"{config} has no [feedback] keys; make them: penstock feedback keygen")
    return path


def _load(path: str) -> TokenKeys:
    from penstock.settings.token_keys import load_token_keys

    try:
        return load_token_keys(path)
    except ValueError as error:
        raise CommandError(str(error)) from None


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _replace(path: Path, text: str) -> None:
    """Whole or not at all; owner, group and mode stay, since the daemon may be another user."""
    was = path.stat()
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    write_secret(aside, text)
    os.chmod(aside, was.st_mode & 0o777)
    if (was.st_uid, was.st_gid) != (os.getuid(), os.getgid()):
        os.chown(aside, was.st_uid, was.st_gid)
    os.replace(aside, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
