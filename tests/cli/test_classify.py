"""``penstock classify``: a line for a line or a file, and a bad one stops no other."""

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
        "penstock: say what is to be read: FILE... or --replies\n",
    )


def test_wrong_rules_are_told_first(policies: Path) -> None:
    (policies / "replies" / "gmail.toml").write_text(RULES.replace("452 over", "452 under"))
    found = classify(policies, '{"reply": "550 x"}', "--replies")
    assert found.exit_code == 2
    assert "is decided by no rule" in found.stdout


def test_each_file_gives_a_line(policies: Path, tmp_path: Path) -> None:
    bounce = tmp_path / "bounce.eml"
    bounce.write_text(
        "From: MAILER-DAEMON@example.org\nReturn-Path: <>\nSubject: failure notice\n\n"
        "<a@gmail.com>: host mx.google.com said: 550 5.7.1 No such user\n"
    )
    letter = tmp_path / "letter.eml"
    letter.write_text("From: a@example.org\nSubject: hello\n\nHi.\n")
    found = classify(policies, "", str(bounce), str(letter))
    assert (found.exit_code, found.stderr) == (0, "")
    assert [json.loads(line) for line in found.stdout.splitlines()] == [
        {
            "file": "bounce.eml",
            "kind": "bounce",
            "recipients": [
                {
                    "recipient": "a@gmail.com",
                    "status": "5.7.1",
                    "reply_code": "550",
                    "category": "bad-mailbox",
                    "fault": "recipient",
                    "suppress": True,
                    "feedback_type": "",
                }
            ],
        },
        {"file": "letter.eml", "kind": "other", "recipients": []},
    ]


def test_a_file_that_cannot_be_read_is_named_and_the_others_answered(
    policies: Path, tmp_path: Path
) -> None:
    good = tmp_path / "good.eml"
    good.write_bytes(b"\xff\x00")
    found = classify(policies, "", str(tmp_path / "none.eml"), str(tmp_path), str(good))
    assert found.exit_code == 1
    assert [json.loads(line)["file"] for line in found.stdout.splitlines()] == ["good.eml"]
    told = found.stderr.splitlines()
    assert [line.split(": ")[1] for line in told[:2]] == [str(tmp_path / "none.eml"), str(tmp_path)]
    assert told[2] == "penstock: 2 files were not read"


def test_files_and_replies_are_not_read_at_once(policies: Path) -> None:
    found = classify(policies, "", "--replies", "x.eml")
    assert found.exit_code != 0
    assert "FILE... or --replies" in found.stderr
