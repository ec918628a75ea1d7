"""``penstock demo``: mail through the real daemon to fake providers, start to end, by itself.

The daemon is the one that ``penstock run`` runs, in a process of its own; only the providers are
fake. It ends when nothing moves any more, or when its time is over: mail that is still put off then
stays in the spool, which is the point of a spool.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import itertools
import os
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from penstock.cli_common import FAILED, CommandError
from penstock.cli_demo_show import Progress, Screen, show_next, show_result
from penstock.cli_demo_stage import (
    DOMAINS,
    Daemon,
    Stage,
    build_stage,
    entries_in_spool,
    world_options,
)
from penstock.cli_demo_tally import Tally, tally
from penstock.control import ControlError
from penstock.events.exposition import Merger
from penstock.sim.inject import Injection, InjectionFailed, Mail, inject

SESSIONS = 20
POLL_S = 0.25
QUIET_S = 5.0
LAST_S = 3.0
_PROVIDERS = {domain: provider for provider, domain in DOMAINS.items()}
_INTERRUPTED = 130


def run_demo(messages: int, config: str, time_s: float) -> int:
    """The exit code: 0, or 1 if anything is lost. ``time_s``: from the start until it sums up,
    whatever still waits."""
    screen = Screen(list(DOMAINS), messages)
    with tempfile.TemporaryDirectory(prefix="penstock-demo-") as root:
        stage = build_stage(Path(root), messages)
        started = time.monotonic()
        try:
            injection = uvloop.run(_play(stage, screen, messages, time_s))
        except KeyboardInterrupt:
            return _INTERRUPTED
        result = _sum_up(stage, injection)
        show_result(screen.console, result, time.monotonic() - started)
    for reply, count in injection.refusals.most_common(3):
        screen.console.print(f"{count} not accepted: {reply}", markup=False)
    show_next(screen.console, config, *_addresses(config))
    return 0 if result.total.accepted and not result.lost else FAILED


async def _play(stage: Stage, screen: Screen, messages: int, time_s: float) -> Injection:
    """Start the daemon, hand over the mail, watch it go, stop the daemon."""
    injection = Injection()
    environment = {"PENSTOCK_SIM": world_options(stage, messages)}
    screen.console.print(
        f"{messages} messages of 4 KiB by {SESSIONS} SMTP sessions, through the real daemon, "
        "to fake providers on this machine"
    )
    until = asyncio.get_running_loop().time() + time_s
    over = asyncio.Event()
    mails = itertools.takewhile(lambda _: not over.is_set(), demo_mails(messages))
    async with Daemon(stage, environment) as daemon:
        await daemon.ready()
        with screen.moving():
            handing_over = inject(
                "127.0.0.1", stage.smtp_port, mails, sessions=SESSIONS, injection=injection
            )
            injecting = asyncio.create_task(handing_over)
            try:
                await _watch(daemon, screen, injection, injecting, until)
            except* (InjectionFailed, OSError) as errors:
                raise CommandError(
                    f"mail could not be handed over: {errors.exceptions[0]}"
                ) from None
            finally:
                over.set()  # what is under way is acknowledged yet, nothing new is begun
                await asyncio.wait({injecting}, timeout=LAST_S)
                injecting.cancel()
                await asyncio.gather(injecting, return_exceptions=True)
    if daemon.exit_code:
        raise CommandError(f"the daemon ended with {daemon.exit_code}")
    return injection


async def _watch(
    daemon: Daemon,
    screen: Screen,
    injection: Injection,
    injecting: asyncio.Task[Injection],
    until: float,
) -> None:
    """Show the progress until all is settled, nothing has moved for a while, or time is over."""
    loop = asyncio.get_running_loop()
    begin = moved_at = loop.time()
    settled, queued = -1.0, 1.0
    merger = Merger()
    while (now := loop.time()) < until:
        with contextlib.suppress(OSError, ControlError):
            merged = merger.merge(await daemon.ask("metrics"))
            progress = Progress(
                now - begin,
                {_PROVIDERS[domain]: n for domain, n in injection.recipients.items()},
                merged.by("penstock_delivered_total", "provider"),
                merged.by("penstock_deferred_total", "provider"),
                merged.by("penstock_bounced_total", "provider"),
            )
            screen.show(progress)
            queued = merged.value("penstock_queue_entries")
            if progress.settled() != settled:
                settled, moved_at = progress.settled(), now
        if injecting.done():
            injecting.result()
            if not queued or now - moved_at > QUIET_S:
                return
        await asyncio.sleep(POLL_S)


def demo_mails(messages: int) -> Iterator[Mail]:
    """``messages`` of about 4 KiB, one recipient each, the providers in turn."""
    date = email.utils.formatdate(usegmt=True)
    filling = "We wrote you a newsletter, and it is quite a long one. " * 66
    lines = "\r\n".join(textwrap.wrap(filling, 72))
    domains = list(DOMAINS.values())
    for number in range(messages):
        recipient = f"reader{number}@{domains[number % len(domains)]}"
        message_id = f"<{number}.{os.getpid()}@shop.example>"
        content = (
            f"From: The Shop <news@shop.example>\r\nTo: {recipient}\r\nSubject: News of the day\r\n"
            f"Date: {date}\r\nMessage-ID: {message_id}\r\nMIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nX-Penstock-Campaign: news\r\n"
            f"List-Unsubscribe: <https://shop.example/out/{number}>\r\n\r\n{lines}\r\n"
        )
        yield Mail("news@shop.example", (recipient,), message_id, content.encode())


def _sum_up(stage: Stage, injection: Injection) -> Tally:
    domains = list(DOMAINS.values())
    by_message = {
        message_id: domains[int(message_id[1:].partition(".")[0]) % len(domains)]
        for message_id in injection.acknowledged
    }
    return tally(
        _PROVIDERS,
        injection.acknowledged,
        by_message,
        stage.text(stage.log),
        stage.text(stage.journal),
        entries_in_spool(stage),
    )


def _addresses(config: str) -> tuple[str, str]:
    """Where the daemon of ``config`` listens, for SMTP and HTTP."""
    from penstock.settings.loader import load_settings

    settings: Any = load_settings(config)
    if isinstance(settings, list):
        return "127.0.0.1:2525", "127.0.0.1:8025"
    smtp = settings.smtp[0].listen if settings.smtp else "127.0.0.1:2525"
    return str(smtp), str(settings.http.listen if settings.http else "127.0.0.1:8025")
