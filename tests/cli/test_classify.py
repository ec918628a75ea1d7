"""``penstock classify --replies``: a line for a line, and a bad one stops no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock import cli

RULES = """\
provider = "gmail"
[[rule]]
name = "full"
category = "mailbox-full"
match = 'over quota'
phase = ["rcpt"]
matches = ["452 over quota"]
[[rule]]
name = "gone"
category = "bad-mailbox"
match = 'no such user'
matches = ["550 5.7.1 No such user"]
"""


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    (tmp_path / "replies").mkdir()
    (tmp_path / "replies" / "gmail.toml").write_text(RULES)
    return tmp_path


def classify(policies: Path, text: str | bytes, *more: str):
    arguments = ["classify", "--policies", str(policies), *more]
    return CliRunner().invoke(cli.app, arguments, input=text)


def test_each_line_comes_back_with_what_it_means(policies: Path) -> None:
    asked = [
        {"provider": "gmail", "reply": "550-5.7.1 No such\r\n550 5.7.1 user", "mine": [1]},
        {"provider": "Gmail", "reply": "452 over quota", "phase": "rcpt"},
        {"provider": "gmail", "reply": "452 over quota", "phase": "final"},
        {"provider": None, "reply": "550 5.7.1 no such user"},
        {"reply": ""},
    ]
    found = classify(policies, "\n".join(map(json.dumps, asked)) + "\n\n", "--replies")
    assert (found.exit_code, found.stderr) == (0, "")
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    assert [{k: a[k] for k in q} for a, q in zip(answers, asked, strict=True)] == asked
    assert [(a["category"], a["fault"], a["suppress"], a["rule"]) for a in answers] == [
        ("bad-mailbox", "recipient", True, "gmail/gone"),
        ("mailbox-full", "recipient", False, "gmail/full"),
        ("unknown", "none", False, ""),
        ("policy", "recipient", False, ""),
        ("unknown", "none", False, ""),
    ]


def test_bad_lines_are_named_and_the_others_answered(policies: Path) -> None:
    lines = [
        b'{"provider": "gmail", "reply": "550 no such user"}',
        b"nonsense",
        b"[1]",
        b'{"provider": "gmail"}',
        b'{"reply": 5}',
        b'{"reply": "550 x", "provider": 1}',
        b'{"reply": "550 x", "phase": "late"}',
        b'{"reply": "\xff"}',
        b"{" * 100_000,
        b'{"reply": "' + b"x" * (1 << 21) + b'"}',
        b'{"reply": "550 x"}',
    ]
    found = classify(policies, b"\n".join(lines), "--replies")
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) == 2
    told = found.stderr.splitlines()
    assert [line.split(": ")[1] for line in told[:-1]] == [f"line {n}" for n in range(2, 11)]
    assert told[1] == "penstock: line 3: expected an object, not list"
    assert told[2] == 'penstock: line 4: the key "reply" is missing'
    assert told[8] == "penstock: line 10: longer than 1048576 bytes"
    assert told[-1] == "penstock: 9 lines were not read"


def test_what_is_to_be_read_must_be_said(policies: Path) -> None:
    found = classify(policies, "")
    assert (found.exit_code, found.stderr) == (
        2,
        "penstock: say what is to be read: --replies\n",
    )


def test_wrong_rules_are_told_first(policies: Path) -> None:
    (policies / "replies" / "gmail.toml").write_text(RULES.replace("452 over", "452 under"))
    found = classify(policies, '{"reply": "550 x"}', "--replies")
    assert found.exit_code == 2
    assert "is decided by no rule" in found.stdout
