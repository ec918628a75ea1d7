"""The demo on the screen: a table that moves where there is a terminal, plain lines where not."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.table import Table

from penstock.cli_demo_tally import Tally
from penstock.cli_show import console as default_console
from penstock.cli_show import plain

REPLIES_SHOWN = 8
LINE_EVERY_S = 2.0


@dataclass(slots=True)
class Progress:
    """The moment: by provider, what was accepted, delivered, put off and bounced so far."""

    seconds: float = 0.0
    accepted: Mapping[str, float] = field(default_factory=dict)
    delivered: Mapping[str, float] = field(default_factory=dict)
    put_off: Mapping[str, float] = field(default_factory=dict)
    bounced: Mapping[str, float] = field(default_factory=dict)

    def settled(self) -> float:
        return sum(self.delivered.values()) + sum(self.bounced.values())


class Screen:
    """``show`` as often as there is news; ``messages`` is how many there will be."""

    def __init__(self, providers: list[str], messages: int, console: Console | None = None) -> None:
        self.console = console or default_console()
        self._providers, self._messages = providers, messages
        self._live: Live | None = None
        self._line_at = -LINE_EVERY_S

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as self._live:
            yield
        self._live = None

    def show(self, progress: Progress) -> None:
        if self._live is not None:
            self._live.update(self._table(progress), refresh=True)
        elif progress.seconds - self._line_at >= LINE_EVERY_S:
            self._line_at = progress.seconds
            self.console.print(
                f"{progress.seconds:5.1f} s  accepted {sum(progress.accepted.values()):.0f}  "
                f"delivered {sum(progress.delivered.values()):.0f}  "
                f"bounced {sum(progress.bounced.values()):.0f}  "
                f"put off {sum(progress.put_off.values()):.0f} times"
            )

    def _table(self, progress: Progress) -> Table:
        table = Table(title=f"{progress.seconds:.1f} s", title_justify="left", box=None)
        for heading in ("provider", "accepted", "delivered", "bounced", "put off", ""):
            table.add_column(heading, justify="left" if heading in ("provider", "") else "right")
        share = self._messages / len(self._providers)
        for name in self._providers:
            done = progress.delivered.get(name, 0) + progress.bounced.get(name, 0)
            width = round(30 * min(done / share, 1.0))
            table.add_row(
                name,
                f"{progress.accepted.get(name, 0):.0f}",
                f"{progress.delivered.get(name, 0):.0f}",
                f"{progress.bounced.get(name, 0):.0f}",
                f"{progress.put_off.get(name, 0):.0f}",
                f"[green]{'━' * width}[/green][dim]{'━' * (30 - width)}[/dim]",
            )
        return table


def show_result(console: Console, tally: Tally, seconds: float) -> None:
    """The final table, the replies most seen, and whether it adds up."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("provider", "accepted", "delivered", "bounced", "still deferred", "put off"):
        table.add_column(heading, justify="left" if heading == "provider" else "right")
    whole = tally.total
    for name, row in (*tally.rows.items(), ("all", whole)):
        figures = (row.accepted, row.delivered, row.bounced, row.waiting, row.put_off)
        table.add_row(name, *map(str, figures), style="bold" if row is whole else None)
    console.print()
    console.print(table)
    replies = [
        (count, name, reply)
        for name, row in tally.rows.items()
        for reply, count in row.replies.items()
    ]
    if replies:
        console.print("\n[bold]refusals most seen[/bold]")
        for count, name, reply in sorted(replies, reverse=True)[:REPLIES_SHOWN]:
            line = f"{count:6d}  {name:10}  {plain(reply)}"
            console.print(line, no_wrap=True, overflow="ellipsis")
    console.print(
        f"\n{whole.accepted} accepted = {whole.delivered} delivered + {whole.bounced} bounced + "
        f"{whole.waiting} still deferred, in {seconds:.0f} s"
    )
    doubled = f"; {tally.twice} delivered twice" if tally.twice else ""
    if tally.unacknowledged:
        doubled += f"; {tally.unacknowledged} more are in it whose 250 nobody waited for"
    if not tally.lost:
        console.print(
            f"[bold green]none lost[/bold green]: the spool holds those deferred{doubled}"
        )
    else:
        console.print(
            f"[bold red]{tally.lost} lost[/bold red]: the spool holds {tally.in_spool}, and "
            f"{tally.not_taken} called delivered were taken by nobody{doubled}"
        )


def show_next(console: Console, config: str, smtp: str, http: str) -> None:
    """What to try, as commands that work as they stand. ``smtp``, ``http``: ``"host:port"``."""
    me = _own_name()
    named = "" if config == "config.toml" else f" --config {shlex.quote(config)}"
    host, _, port = smtp.rpartition(":")
    send = (
        f"import smtplib; smtplib.SMTP('{host.strip('[]')}', {port}).sendmail("
        "'news@shop.example', ['grey@yandex.ru'], 'Subject: hello\\n\\nhello')"
    )
    console.print("\n[bold]what to try next[/bold] (the first in a terminal of its own)")
    for text, words in (
        ("the daemon, still sandboxed", f"{me} run{named}"),
        ("a message to it", f"{shlex.quote(sys.executable)} -c {shlex.quote(send)}"),
        ("what waits, and why", f"{me} queue list{named}"),
        ("hold a provider back", f"{me} queue suspend --provider yandex --for 10m{named}"),
        ("what it counts", f"curl -s http://{http}/metrics"),
    ):
        console.print(f"  [dim]# {text}[/dim]")
        console.print(f"  {words}", markup=False, soft_wrap=True)


def _own_name() -> str:
    """How the user called us, in a form that can be pasted."""
    given = sys.argv[0]
    if given.endswith("__main__.py"):
        return f"{shlex.quote(sys.executable)} -m penstock"
    found = shutil.which("penstock")
    return "penstock" if found and found == shutil.which(given) else shlex.quote(given)
