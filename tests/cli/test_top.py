"""``penstock top``: one table where nobody watches, a moving one with keys on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from fcntl import ioctl
from typing import Any

import pytest

from penstock.cli_top import SORTS, View, keys, rate_text, undisturbed, unwound_by_signals

WAIT_S = 30.0


def row(provider: str, source: str, **more: Any) -> dict[str, Any]:
    counts = {"delivered_60": 50, "deferred_60": 10, "bounced_60": 0, "deferral_share": 10 / 60}
    figures = {"queued": 0, "ready": 0, "in_flight": 0, "rate_per_s": 1.0, **counts}
    limit = {"limit_per_s": None, "limit_where": ""}
    return {"provider": provider, "source": source, **figures, **limit} | {
        "replies": [],
        "operations": [],
        **more,
    }


def held(until: float = 0.0) -> dict[str, Any]:
    return {"id": "s4", "verb": "suspend", "selector": {"provider": "yahoo"}, "since": 1.7e9} | {
        "until": until,
        "who": "ann",
        "reason": "asked to",
        "args": {},
    }


def answer(**more: Any) -> dict[str, Any]:
    rows = [
        row("gmail", "s1", queued=12_345, ready=40, in_flight=3, rate_per_s=12.5, limit_per_s=50.0)
        | {"replies": [[7, "421 [red]4.7.28[/red]\x1b[2J rate"], [2, "450 greylisted"]]},
        row("yahoo", "s2", queued=7, rate_per_s=0.0, limit_per_s=20 / 60, deferral_share=None)
        | {"operations": ["s4"]},
        row("", "s1", queued=99, rate_per_s=0.001),
    ]
    return {"rows": rows, "operations": [held(time.time() + 3725.5)], "away": [], **more}


def columns(out: str) -> list[str]:
    return [
        re.split(r"\s+", one.strip())[0]
        for one in out.splitlines()[1:]
        if "s1" in one or "s2" in one
    ]


def test_one_table_where_nobody_watches(penstock, daemon):
    daemon.answers["top"] = answer(away=[1])
    result = penstock("top")
    assert result.exit_code == 0
    out = result.stdout
    heading, gmail, second = out.splitlines()[:3]
    assert re.sub(r"\s+", " ", heading).strip() == (
        "provider source queued v ready in flight rate limit deferred held last replies"
    )
    *figures, reply = re.split(r"\s{2,}", gmail.strip())
    assert figures == ["gmail", "s1", "12,345", "40", "3", "12.5/s", "50/s", "17%"]
    assert reply == "7x 421 [red]4.7.28[/red]\\u001b[2J rate"
    assert second.strip() == "2x 450 greylisted"
    assert re.search(r"yahoo .* 0/s +20/min +- +s4 suspend 1h02m", out)
    assert re.search(r"^- +s1 .* 3.6/h ", out, re.MULTILINE)
    assert re.search(r"^s4 +suspend +provider=yahoo +1h02m +asked to", out, re.MULTILINE)
    assert "worker 1 is not there" in out
    assert "\x1b" not in out
    assert columns(out) == ["gmail", "-", "yahoo", "s4"][:3]


def test_sorted_and_filtered(penstock, daemon):
    daemon.answers["top"] = answer(operations=[])
    assert columns(penstock("top", "--once", "--sort", "provider").stdout) == [
        "-",
        "gmail",
        "yahoo",
    ]
    assert columns(penstock("top", "--filter", "AHO").stdout) == ["yahoo"]
    wrong = penstock("top", "--sort", "size")
    assert wrong.exit_code == 2
    assert "no column 'size'; there are queued, ready" in wrong.stderr


def test_nothing_to_show(penstock, daemon):
    daemon.answers["top"] = {"rows": [], "operations": [], "away": []}
    assert penstock("top").stdout == "nothing is queued or was sent lately\n"


def test_for_programs(penstock, daemon):
    daemon.answers["top"] = answer(operations=[])
    assert json.loads(penstock("top", "--json").stdout) == daemon.answers["top"]


def test_keys_sort_reverse_and_filter():
    view = View()
    rows = [row("a", "s1", queued=1), row("b", "s1", queued=3), row("c", "s2", queued=2)]

    def shown() -> str:
        return "".join(one["provider"] for one in view.rows(rows))

    assert shown() == "bca"
    view.key("r")
    assert shown() == "acb"
    for _ in SORTS:
        view.key("s")
    assert (view.sort, shown()) == ("queued", "bca")
    for key in "/xs2\x7f":
        view.key(key)
    assert (view.filter, view.typing) == ("xs", True)
    for key in "\x7f\x7fs2q\r":
        assert not view.key(key)  # what is typed is no command
    assert (view.filter, view.typing) == ("s2q", False)
    view.key("\x1b")
    assert (view.filter, shown()) == ("", "bca")
    assert view.key("q")


@pytest.mark.parametrize("sort", SORTS)
def test_every_column_sorts(sort):
    assert len(View(sort).rows(answer()["rows"])) == 3


@pytest.mark.parametrize(
    ("per_s", "text"),
    [(0.0, "0/s"), (1234.56, "1234.6/s"), (1.0, "1/s"), (20 / 60, "20/min"), (1 / 3600, "1/h")],
)
def test_rates_in_words(per_s, text):
    assert rate_text(per_s) == text


# on a terminal


class Terminal:
    """``penstock top`` behind a terminal of its own; ``until`` reads what it draws."""

    def __init__(self, here: Any, *arguments: str) -> None:
        self.ours, self.theirs = pty.openpty()
        ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        self.before = termios.tcgetattr(self.theirs)
        self.drawn = ""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "penstock", "top", *arguments],
            cwd=here,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
            preexec_fn=self._take_terminal,
        )

    def _take_terminal(self) -> None:
        ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def until(self, pattern: str) -> str:
        """What was drawn up to and with ``pattern``; it is then forgotten."""
        end = time.monotonic() + WAIT_S
        while True:
            found = re.search(pattern, self.drawn, re.DOTALL)
            if found:
                text, self.drawn = self.drawn[: found.end()], self.drawn[found.end() :]
                return text
            ready, _, _ = select.select([self.ours], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"not drawn: {pattern!r}\n{self.drawn[-3000:]}"
            self.drawn += os.read(self.ours, 65536).decode("utf-8", "replace")

    def ended(self) -> int:
        code = self.process.wait(WAIT_S)
        after = termios.tcgetattr(self.theirs)
        assert after == self.before
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


ON, OFF = r"\x1b\[\?1049h", r"\x1b\[\?1049l"  # the alternate screen
CURSOR_ON = r"\x1b\[\?25h"


@pytest.fixture
def terminal(here, daemon) -> Iterator[Any]:
    """``terminal("--interval", "0.2")`` starts it."""
    opened: list[Terminal] = []

    def start(*arguments: str) -> Terminal:
        opened.append(Terminal(here, *arguments))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def test_it_moves_obeys_keys_and_leaves_the_terminal_as_it_was(terminal, daemon):
    daemon.answers["top"] = answer()
    shown = terminal("--interval", "0.2")
    shown.until(ON)
    shown.until(r"queued v.*gmail.*12,345.*q quit")
    daemon.answers["top"] = answer(rows=[row("gmail", "s1", queued=777)])
    shown.until("777")
    shown.press("s")
    shown.until(r"ready v")
    shown.press("r")
    shown.until(r"ready \^")
    shown.press("/")
    shown.until(r"filter: _")
    shown.press("zzz\r")
    shown.until(r"nothing is queued.*filter: zzz \(Esc")
    shown.press("\x1b")
    shown.until("777")
    shown.press("q")
    shown.until(OFF)
    assert shown.ended() == 0


@pytest.mark.parametrize(
    ("end", "code"),
    [("\x03", 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGHUP, 128 + signal.SIGHUP)],
)
def test_however_it_ends_the_terminal_is_as_it_was(end, code, terminal, daemon):
    daemon.answers["top"] = answer()
    shown = terminal("--interval", "3600")
    shown.until("12,345.*q quit")
    if isinstance(end, str):
        shown.press(end)
    else:
        shown.process.send_signal(end)
    after = shown.until(f"{OFF}.*{CURSOR_ON}|{CURSOR_ON}.*{OFF}")
    assert "Traceback" not in after
    assert shown.ended() == code


def test_a_signal_waits_until_the_drawing_is_done():
    drawn = []

    def draw() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            drawn.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        draw()
    assert drawn == ["all of it"]


def test_a_signal_that_interrupts_no_system_call_ends_the_wait():
    """It comes just before the call, or another thread takes it."""
    ours, theirs = pty.openpty()
    main = threading.get_ident()

    def taken_here() -> None:
        while sys._current_frames()[main].f_code.co_name != "pressed":
            os.sched_yield()
        for _ in range(100):
            os.sched_yield()
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)

    with unwound_by_signals(), keys(theirs) as pressed:
        elsewhere = threading.Thread(target=taken_here)
        began = time.monotonic()
        elsewhere.start()
        with pytest.raises(SystemExit):
            pressed(WAIT_S)
        assert time.monotonic() - began < WAIT_S
        elsewhere.join()
    os.close(ours)
    os.close(theirs)


def test_a_daemon_that_refuses_is_waited_for(terminal, daemon):
    daemon.answers["top"] = answer()
    shown = terminal("--interval", "0.2")
    shown.until("12,345")
    daemon.answers["top"] = ("unavailable", "an upgrade is under way; try again when it is done")
    shown.until("12,345.*an upgrade is under way")
    daemon.answers["top"] = answer(rows=[row("gmail", "s1", queued=888)])
    shown.until("888.*q quit")
    shown.press("q")
    assert shown.ended() == 0


def test_a_daemon_that_is_not_there_at_first_is_an_error(terminal, daemon):
    daemon.answers["top"] = ("unavailable", "an upgrade is under way")
    shown = terminal()
    said = shown.until("an upgrade is under way")
    assert not re.search(ON, said)
    assert shown.ended() == 1
