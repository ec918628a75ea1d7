"""``penstock policy``: check, show and compare traffic policies. No daemon is needed; with
``--url`` they are those of one elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    load_settings,
    print_json,
    remote,
)

if TYPE_CHECKING:
    from penstock.policy.account import Sender
    from penstock.policy.policies import Policies

app = typer.Typer(no_args_is_help=True)

Directory = Annotated[
    str,
    typer.Option("--policies", metavar="DIR", help="This directory, not the one of the settings."),
]


def _load(directory: str) -> Policies:
    from penstock.settings.loader import load_policy_directory

    loaded = load_policy_directory(directory)
    if isinstance(loaded, list):
        raise _wrong(directory, loaded)
    return loaded


def _wrong(where: str, problems: Sequence[object]) -> CommandError:
    """What is wrong has been shown."""
    for problem in problems:
        typer.echo(str(problem))
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return CommandError(f"{where}: {count}", WRONG)


def policies_of(config: str, directory: str) -> Policies:
    """Those of ``directory``, or of the settings; every mistake is shown."""
    return _load(directory or load_settings(config).policies)


@app.command()
@asking
def check(config: Config = CONFIG, directory: Directory = "") -> None:
    """Check the policies, and show every mistake with its line."""
    from penstock.feedback.samples import warnings
    from penstock.policy.account_data import counts_of

    elsewhere = remote()
    if elsewhere is not None and not directory:
        answer = ask(config, "policies.check")
        if not answer["ok"]:
            raise _wrong(elsewhere.url, answer["problems"])
        told, counts = answer["warnings"], answer["counts"]
    else:
        found = policies_of(config, directory)
        told, counts = warnings(found.replies), counts_of(found)
    for warning in told:
        typer.echo(f"warning: {warning}")
    typer.echo(f"no problems: {', '.join(f'{n} {what}' for what, n in counts.items())}")


@app.command()
@asking
def show(
    destination: Annotated[
        str, typer.Argument(help="A recipient domain, a provider's name or a site's.")
    ],
    source: Annotated[str, typer.Option("--source", "-s", help="By this source.")] = "",
    tenant: Annotated[str, typer.Option("--tenant", "-t", help="Mail of this tenant.")] = "",
    campaign: Annotated[str, typer.Option("--campaign", help="Of this campaign.")] = "",
    class_: Annotated[str, typer.Option("--class", help="Of this class.")] = "",
    mx: Annotated[
        list[str] | None,
        typer.Option("--mx", metavar="HOST", help="An MX host of the domain; again for others."),
    ] = None,
    config: Config = CONFIG,
    directory: Directory = "",
    as_json: AsJson = False,
) -> None:
    """Show what holds for a destination, each value with the line that sets it."""
    from penstock.cli_policy_show import show_account, unknown_provider
    from penstock.policy.account import Sender

    if campaign and not tenant:
        raise CommandError("a campaign is one of a tenant: give --tenant too", WRONG)
    sender, hosts = Sender(source, tenant, campaign, class_), mx or []
    if remote() is not None and not directory:
        whose = {"source": source, "tenant": tenant, "campaign": campaign, "class": class_}
        asked = {"destination": destination, "mx": hosts, **whose}
        found = ask(config, "policies.show", asked)
    else:
        found = _account(policies_of(config, directory), destination, sender, hosts)
    if as_json:
        print_json(found)
        return
    show_account(found)
    if found["kind"] == "domain" and not found["provider"]:
        typer.echo(unknown_provider(found["domain"], bool(mx)), err=True)


def _account(
    policies: Policies, destination: str, sender: Sender, mx: Sequence[str]
) -> dict[str, Any]:
    from penstock.policy import account
    from penstock.policy.account_data import as_data

    _known("source", sender.source, list(policies.sources))
    _known("class", sender.class_, list(policies.classes))
    try:
        to = account.destination(policies, destination, mx)
    except ValueError as error:
        raise CommandError(str(error), WRONG) from None
    return as_data(policies, to, sender)


@app.command()
@command
def diff(
    old: Annotated[str, typer.Argument(metavar="OLD", help="A directory of policies.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Another.")],
    as_json: AsJson = False,
) -> None:
    """Show what changes from OLD to NEW by meaning; exit 1 if anything does."""
    from penstock.policy.difference import difference

    changes = difference(_load(old), _load(new))
    if as_json:
        print_json(
            [
                {
                    "scope": change.scope,
                    "field": change.field,
                    "before": change.before,
                    "after": change.after,
                    "where": str(change.where or ""),
                }
                for change in changes
            ]
        )
    else:
        for change in changes:
            typer.echo(str(change))
    if changes:
        raise typer.Exit(FAILED)


@app.command()
@asking
def replay(
    log: Annotated[
        str,
        typer.Argument(
            metavar="LOG", help='A log of attempts, or lines of {"provider", "reply"}; - is stdin.'
        ),
    ],
    config: Config = CONFIG,
    directory: Directory = "",
    as_json: AsJson = False,
) -> None:
    """Read recorded replies again by the rules, and show what fires and what changed.

    With --policies what changed is against the log, or the policies of the settings."""
    from penstock.cli_policy_replay import replay_log, show_replay
    from penstock.feedback.classify import Classifier

    elsewhere = remote()
    if elsewhere is not None and not directory:
        from penstock import cli_rules_remote

        answer = cli_rules_remote.replay(elsewhere, log)
    else:
        new = Classifier(policies_of(config, directory).replies)
        old = None
        if directory and Path(config).exists():
            old = Classifier(policies_of(config, "").replies)
        answer = replay_log(log, new, old)
    if as_json:
        print_json(answer)
    else:
        show_replay(answer)


@app.command()
@command
def schema(
    kind: Annotated[
        str,
        typer.Argument(metavar="[KIND]", help="A kind of policy file; without it all."),
    ] = "",
    to: Annotated[
        str, typer.Option("--to", metavar="DIR", help="Write KIND.json there instead, or all.")
    ] = "",
) -> None:
    """Print the JSON Schema of a kind of policy file, or of all, for editors."""
    from penstock.policy.schema import KINDS, schema_of, schema_text

    _known("kind", kind, list(KINDS))
    kinds = [kind] if kind else list(KINDS)
    if to:
        for name in kinds:
            Path(to, f"{name}.json").write_text(schema_text(name), encoding="utf-8")
    elif kind:
        typer.echo(schema_text(kind), nl=False)
    else:
        print_json({name: schema_of(name) for name in kinds})


def _known(what: str, name: str, names: list[str]) -> None:
    from penstock.policy.problem import quoted, suggestion

    if name and name not in names:
        hint = suggestion(name, names, "there are")
        raise CommandError(f"no {what} {quoted(name)}{f'; {hint}' if hint else ''}", WRONG)
