"""``penstock policy replay``: a log read again by other rules."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.events.attempts import AttemptLog, AttemptLogConfig
from penstock.events.types import Attempt
from penstock.mail.outcome import Kind, Outcome, Phase
from penstock.mail.verdict import Category, Verdict, verdict_of
from penstock.smtp.reply import Reply

OLD = """\
provider = "gmail"
[[rule]]
name = "rate"
category = "throttled"
match = 'unusual rate'
action = "slow"
to = "10/min"
threshold = "3/h"
for = "30min"
matches = ["421 unusual rate"]
"""
NEW = (
    OLD
    + """\
[[rule]]
name = "full"
category = "mailbox-full"
match = 'over quota'
matches = ["452 over quota"]
"""
)
START = 1_700_000_000.0


def attempt(
    at: float,
    reply: str,
    kind: Kind = Kind.DEFERRED,
    verdict: Verdict | None = None,
    source: str = "s1",
) -> Attempt:
    outcome = Outcome(kind, Phase.RCPT, Reply.of(int(reply[:3]), reply[4:]))
    names = ("id", "ann@gmail.com", "", "", "", "gmail", "gmail")
    return Attempt(START + at, *names, outcome, 1, 0.0, 0.0, source, verdict)


def log_of(path: Path, format, *attempts: Attempt) -> None:
    with open(path, "ab") as file:
        log = AttemptLog(file.write, AttemptLogConfig(format))
        for one in attempts:
            log.add(one)
        log.flush()


@pytest.fixture
def policies(here: Path) -> Path:
    for name, text in (("policies", OLD), ("new", NEW)):
        (here / name / "replies").mkdir(parents=True)
        (here / name / "replies" / "gmail.toml").write_text(text)
    return here


RATE = "421 4.7.28 Unusual rate of mail"


@pytest.mark.parametrize("format", ["console", "json"])
def test_what_fires_and_what_changed(policies: Path, penstock, format) -> None:
    throttled = verdict_of(Category.THROTTLED, "gmail/rate")
    unknown = verdict_of(Category.UNKNOWN)
    log_of(
        policies / "log",
        format,
        attempt(0, "250 2.0.0 fine", Kind.DELIVERED),
        *(attempt(60 * n, RATE, verdict=throttled) for n in range(3)),  # fires at the third
        attempt(180, RATE, verdict=throttled),  # slow already
        *(attempt(60 * n, RATE, verdict=throttled, source="s2") for n in range(2)),
        *(attempt(7200 + 3000 * n, RATE, verdict=throttled) for n in range(3)),  # too far apart
        attempt(9, "452 4.2.2 over quota", verdict=unknown),
        attempt(9, "452 4.2.2 over quota", verdict=verdict_of(Category.EXPIRED)),
        attempt(9, "552 5.2.2 over quota", Kind.BOUNCED),  # by a daemon that did not read yet
    )
    with open(policies / "log", "a", encoding="utf-8") as file:
        file.write('ts=2026-01-01T00:00:00Z level=info event="worker ready"\n{"event": "x"}\n')
    result = penstock("policy", "replay", "log", "--policies", "new", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    rate, full = found["rows"]
    assert rate == {
        "provider": "gmail",
        "rule": "gmail/rate",
        "category": "throttled",
        "action": "slow",
        "replies": 9,
        "fired": 1,
        "changed": 0,
        "was": {},
    }
    assert (full["rule"], full["replies"], full["fired"]) == ("gmail/full", 2, None)
    assert full["was"] == {"unknown by no rule": 1, "mailbox-full by no rule": 1}
    assert found["passed_over"] == 4
    shown = penstock("policy", "replay", "log", "--policies", "new").stdout
    assert "gmail: 11 replies, 2 changed" in shown
    assert "1 unknown by no rule" in shown


def test_plain_replies_and_bad_lines(policies: Path, penstock) -> None:
    lines = [
        '{"provider": "gmail", "reply": "421 unusual rate"}',
        '{"provider": "gmail", "reply": "452 over quota", "category": "policy", "rule": "a/b"}',
        '{"reply": 5}',
        "{",
    ]
    result = penstock("policy", "replay", "-", "--json", input="\n".join(lines))
    rows = json.loads(result.stdout)["rows"]
    assert [(row["rule"], row["fired"], row["was"]) for row in rows] == [
        ("", None, {"policy by a/b": 1}),
        ("gmail/rate", None, {}),
    ]
    told = result.stderr.splitlines()
    assert told[0] == 'penstock: line 3: the key "reply" is missing, or no text'
    assert told[1].startswith("penstock: line 4: not JSON")


def test_an_empty_log_says_so(policies: Path, penstock) -> None:
    result = penstock("policy", "replay", "-", input="")
    assert result.stdout == "no replies in it: deliveries alone, or no log of attempts\n"
    missing = penstock("policy", "replay", "nowhere")
    assert (missing.exit_code, missing.stderr) == (
        1,
        "penstock: nowhere: No such file or directory\n",
    )
