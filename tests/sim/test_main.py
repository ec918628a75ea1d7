"""The entry point in this process, its standard streams replaced by pipes."""

from __future__ import annotations

import io
import json
import os
import signal
import sys

import pytest

from penstock.sim.__main__ import main


@pytest.fixture
def _interrupts():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts")
@pytest.mark.parametrize("journal", [False, True])
def test_it_announces_answers_and_ends_with_its_input(journal, monkeypatch, tmp_path):
    reading, writing = os.pipe()
    os.write(writing, b"stats\n\nstats\n")
    os.close(writing)
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading, "rb"))
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    changes = json.dumps({"gmail": {"rate_per_s": 1.5}})
    arguments = ["--patient", "--no-tls", "--changes", changes]
    arguments += ["--journal", str(tmp_path / "j")] if journal else []
    assert main(arguments) == 0
    lines = [json.loads(line) for line in sys.stdout.getvalue().splitlines()]
    assert lines[0]["domains"]["mail.ru"] == ["mxs.mail.ru"]
    assert lines[1] == lines[2]
    assert lines[1]["gmail"] == {"open": 0}
    assert (tmp_path / "j").exists() == journal
