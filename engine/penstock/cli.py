"""``penstock``: the command line. Each group of commands has a module; all are loaded late.

``penstock run`` is the process that lives for months, so nothing that it does not need is imported
before it: settings, rich and the other commands come when they are called.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Annotated

import typer

from penstock import __version__
from penstock.cli_common import (
    CONFIG,
    FAILED,
    WRONG,
    AsJson,
    CommandError,
    Config,
    ask,
    asking,
    command,
    print_json,
)

UPGRADE_S = 1800.0  # every worker drains and recovers, one after the other
TOP_S = 10.0
_GROUPS = {
    "queue": "See and steer the mail that waits.",
    "spool": "Look into a spool that no daemon has open.",
    "policy": "Check, show and compare traffic policies.",
    "stats": "Show what became of the mail: counts and rates.",
    "bounces": "See what comes back, and what nobody could read.",
    "warmup": "See and steer how new sources are warmed up.",
    "feedback": "Keys for what comes back, and the DNS records for it.",
    "suppression": "See and change who gets no mail any more.",
    "webhooks": "See, test and steer what applications are told.",
    "key": "Make, show and revoke keys for the HTTP API.",
    "dkim": "Make signing keys and their DNS records.",
    "tls": "See what TLS domains demand, and what was seen of it.",
}
# Commands that need much to be loaded: each is the function of its name in a module of its own.
_COMMANDS = {"events": "Show what became of messages, oldest first."}
_ALONE = {"stats"}  # a command by itself

app = typer.Typer(
    name="penstock",
    help="A high-throughput email sending engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
@command
def run(config: Config = CONFIG) -> None:
    """Run the daemon in the foreground until it is told to stop."""
    from penstock import lean, native

    if stale := native.stale():
        raise CommandError(
            f"{len(stale)} compiled modules are not of this release ({stale[0]}, …): run "
            "`python -m penstock.native build`, or `clean` to go without"
        )
    try:
        lean.load("structlog")
        module = importlib.import_module("penstock.daemon")
    except ModuleNotFoundError as error:
        raise CommandError(f"this installation is not complete: {error}") from None
    raise typer.Exit(module.run(config))


@app.command()
@command
def check(config: Config = CONFIG) -> None:
    """Check the settings and the policies, and show every mistake with its line."""
    from penstock.relay.addresses import interface_addresses
    from penstock.relay.dnssec import config_of
    from penstock.relay.presence import missing_addresses
    from penstock.settings.check import Machine
    from penstock.settings.check import check as find_problems

    with open(config, "rb"):
        pass  # a file that cannot be read is no mistake in it
    resolvers = [one.address for one in config_of(()).nameservers]
    machine = Machine(missing_addresses, interface_addresses(), resolvers)
    problems = find_problems(config, machine=machine)
    for problem in problems:
        typer.echo(str(problem))
    wrong = sum(not problem.warning for problem in problems)
    if wrong:
        count = "1 problem" if wrong == 1 else f"{wrong} problems"
        raise CommandError(f"{config}: {count}", WRONG)
    typer.echo(f"{config}: no problems")


@app.command()
@asking
def status(config: Config = CONFIG, as_json: AsJson = False) -> None:
    """Show how the running daemon is."""
    answer = ask(config, "status")
    if as_json:
        print_json(answer)
    else:
        from penstock.cli_show import show_status

        show_status(answer)
    if not answer["ready"]:
        raise typer.Exit(FAILED)


@app.command()
@asking
def explain(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="A message id, a recipient, or a queue: DOMAIN[/TENANT[/CAMPAIGN]].",
        ),
    ],
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say why mail waits, when it goes, and which line of which file says so."""
    answer = ask(config, "explain", {"target": target})
    if as_json:
        print_json(answer)
        return
    from penstock.cli_explain import show_explanations

    show_explanations(answer)


@app.command()
@asking
def top(
    interval: Annotated[
        float, typer.Option("--interval", "-i", min=0.2, max=3600, help="Seconds between looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one table and end.")] = False,
    sort: Annotated[str, typer.Option("--sort", help="The column to sort by.")] = "queued",
    filter_: Annotated[
        str, typer.Option("--filter", help="Only providers and sources with this in their names.")
    ] = "",
    config: Config = CONFIG,
    as_json: AsJson = False,
) -> None:
    """Watch what goes where: rates, limits, deferrals and replies by provider and source."""
    if as_json:
        print_json(ask(config, "top"))
        return
    from penstock.cli_top import SORTS, View, show_once, watch

    if sort not in SORTS:
        raise CommandError(f"--sort: no column {sort!r}; there are {', '.join(SORTS)}", WRONG)
    view = View(sort, filter=filter_)
    if once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        show_once(ask(config, "top"), view)
    else:
        watch(lambda: ask(config, "top", timeout_s=TOP_S), view, interval)


@app.command()
@asking
def classify(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Mails that report something, one in a file."),
    ] = None,
    replies: Annotated[
        bool,
        typer.Option("--replies", help='Replies, as lines of {"provider": ..., "reply": ...}.'),
    ] = False,
    directory: Annotated[
        str,
        typer.Option("--policies", metavar="DIR", help="This directory's rules."),
    ] = "",
    config: Config = CONFIG,
) -> None:
    """Say what mails report (FILE...), or what replies mean that come on standard input."""
    if bool(files) == replies:
        raise CommandError("say what is to be read: FILE... or --replies", WRONG)
    from penstock.cli_classify import BadRecord, lines_of, rules_to_ask

    read_report, read_replies = rules_to_ask(config, directory)
    bad = 0
    for name in files or ():
        try:
            sys.stdout.write(json.dumps(read_report(name)) + "\n")
        except OSError as error:
            bad += 1
            typer.echo(f"penstock: {name}: {error.strerror or error}", err=True)
    sys.stdout.flush()
    if bad:
        raise CommandError("1 file was not read" if bad == 1 else f"{bad} files were not read")
    if not replies:
        return
    for number, answer in read_replies(lines_of(sys.stdin.buffer)):
        if isinstance(answer, BadRecord):
            bad += 1
            typer.echo(f"penstock: line {number}: {answer}", err=True)
        else:
            sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    if bad:
        raise CommandError("1 line was not read" if bad == 1 else f"{bad} lines were not read")


@app.command()
@asking
def reload(config: Config = CONFIG) -> None:
    """Have the running daemon read its settings and policies again, all or nothing."""
    answer = ask(config, "reload")
    changes = answer.get("changes", [])
    for line in (*changes, *answer.get("warnings", [])):
        typer.echo(line)
    what = "routes, keys, certificates and accounts were read again"
    typer.echo(f"reloaded; {what}" if changes else f"reloaded; no policy has changed; {what}")


@app.command()
@command
def upgrade(config: Config = CONFIG) -> None:
    """Have the running daemon replaced by the code and settings installed now, without a gap."""
    answer = ask(config, "upgrade", timeout_s=UPGRADE_S)
    typer.echo(f"upgraded: {answer['was']} -> {answer['version']}, pid {answer['pid']}")


@app.command()
@command
def demo(
    messages: Annotated[int, typer.Option(min=5, max=1_000_000, help="How many.")] = 10_000,
    config: Annotated[
        str, typer.Option("--config", "-c", help="Named in what to try next.", metavar="FILE")
    ] = CONFIG,
    time_s: Annotated[
        float, typer.Option("--time", min=5, max=3600, help="Seconds until it sums up.")
    ] = 40.0,
) -> None:
    """Send mail through the real daemon to fake providers, and watch it go."""
    from penstock.cli_demo import run_demo

    raise typer.Exit(run_demo(messages, config, time_s))


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(f"penstock {__version__}")


def _add_groups(wanted: str) -> None:
    """Load the group that is called; the others are there by name, for the help."""
    app.registered_groups.clear()
    for name, text in _GROUPS.items():
        if name == wanted:
            group: typer.Typer = importlib.import_module(f"penstock.cli_{name}").app
        else:
            group = typer.Typer()
            group.callback()(_nothing)
        app.add_typer(group, name=name, help=text, no_args_is_help=name not in _ALONE)
    app.registered_commands[:] = [c for c in app.registered_commands if c.name not in _COMMANDS]
    for name, text in _COMMANDS.items():
        module = importlib.import_module(f"penstock.cli_{name}") if name == wanted else None
        app.command(name, help=text)(getattr(module, name, _nothing))


def _nothing() -> None:
    """Stands for a group whose commands are not loaded."""


def main() -> None:
    """The console script."""
    _add_groups(next((word for word in sys.argv[1:] if not word.startswith("-")), ""))
    app()
