"""The command line without a daemon: answers, exit codes, one clear line for every failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from penstock import __version__, cli, cli_common

ENGINE = Path(__file__).parents[2] / "engine"


def test_version(penstock):
    assert penstock("version").stdout == f"penstock {__version__}\n"


def test_help_names_every_command(penstock):
    text = penstock("--help").stdout
    for name in (
        "run",
        "check",
        "status",
        "reload",
        "demo",
        "version",
        "queue",
        "spool",
        "policy",
        "dkim",
    ):
        assert name in text


def test_the_console_script(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["penstock", "version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"penstock {__version__}\n"


def test_as_a_module_and_without_what_it_does_not_need():
    code = (
        "import sys, runpy; sys.argv = ['penstock', 'version']\n"
        "try: runpy.run_module('penstock', run_name='__main__')\n"
        "except SystemExit as e: print(e.code)\n"
        "names = ('rich', 'msgpack', 'structlog', 'uvloop', 'penstock.settings', 'cryptography')\n"
        "print([name for name in names if name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=ENGINE, capture_output=True, text=True, check=True
    )
    assert out.stdout.splitlines() == [f"penstock {__version__}", "0", "[]"]


def test_run_calls_the_daemon_with_the_config(penstock, monkeypatch):
    called = []
    daemon = types.ModuleType("penstock.daemon")
    daemon.run = lambda path: called.append(path) or 3
    monkeypatch.setitem(sys.modules, "penstock.daemon", daemon)
    assert penstock("run", "--config", "x.toml").exit_code == 3
    monkeypatch.setenv("PENSTOCK_CONFIG", "y.toml")
    penstock("run")
    assert called == ["x.toml", "y.toml"]


def test_run_says_what_is_missing(penstock, monkeypatch):
    monkeypatch.setitem(sys.modules, "penstock.daemon", None)
    result = penstock("run")
    assert result.exit_code == 1
    assert "not complete" in result.stderr


def test_check_of_what_is_right(penstock):
    result = penstock("check")
    assert (result.exit_code, result.stdout) == (0, "config.toml: no problems\n")


def test_check_shows_every_problem(penstock, here):
    (here / "config.toml").write_text('hostnam = "x"\nworkers = "many"\n')
    (here / "policies" / "default.toml").write_text("[limits]\nconections = 3\n")
    result = penstock("check")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert len(lines) == 3
    assert any("config.toml:1" in line and "hostname" in line for line in lines)
    assert any("config.toml:2" in line for line in lines)
    assert any("default.toml:2" in line and "connections" in line for line in lines)
    assert result.stderr == "penstock: config.toml: 3 problems\n"
    (here / "config.toml").write_text("")
    assert penstock("check").stderr == "penstock: config.toml: 1 problem\n"


@pytest.mark.parametrize("arguments", [("check", "-c", "no.toml"), ("check", "-c", "policies")])
def test_a_config_that_cannot_be_read(penstock, arguments):
    result = penstock(*arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"penstock: {arguments[2]}: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("status",), ("reload",), ("queue", "list"), ("queue", "show", "0abc")]
)
def test_no_daemon(penstock, here, arguments):
    result = penstock(*arguments)
    assert result.exit_code == 1
    assert "no daemon is running with config.toml" in result.stderr
    assert str(here / "c.sock") in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_dead_daemon_s_socket_is_no_daemon(penstock, daemon):
    daemon.close()
    assert "no daemon is running" in penstock("status").stderr


def test_wrong_settings_stop_a_command(penstock, here):
    (here / "config.toml").write_text("nonsense = 1\n")
    result = penstock("status")
    assert result.exit_code == 2
    assert "config.toml:1" in result.stderr


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PermissionError(13, "Permission denied"), "not permitted to use"),
        (TimeoutError("timed out"), "did not answer within 60 s"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (ConnectionError("the daemon closed the connection"), "closed the connection"),
    ],
)
def test_trouble_on_the_way_to_the_daemon(penstock, monkeypatch, error, text):
    def fail(*_arguments):
        raise error

    monkeypatch.setattr("penstock.cli_http.ask_unix", fail)
    result = penstock("status")
    assert result.exit_code == 1
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_daemon_s_refusal_is_passed_on(penstock, daemon):
    daemon.answers["reload"] = ("invalid", "config.toml:1: nonsense")
    result = penstock("reload")
    assert (result.exit_code, result.stderr) == (1, "penstock: config.toml:1: nonsense\n")


def test_reload_shows_what_changed(penstock, daemon):
    daemon.answers["reload"] = {"changes": ["gmail: connections 3 -> 5"]}
    assert penstock("reload").stdout.startswith("gmail: connections 3 -> 5\nreloaded; ")
    daemon.answers["reload"] = {"changes": []}
    assert penstock("reload").stdout.startswith("reloaded; no policy has changed; ")


STATUS = {
    "version": "0.1.0",
    "pid": 77,
    "uptime_s": 3725.0,
    "delivery": "sandbox",
    "ready": True,
    "reasons": [],
    "workers": [
        {"number": 0, "pid": 78, "shards": [0, 2], "entries": 12, "ready": 3, "in_flight": 1},
        {"number": 1, "pid": 79, "shards": [1]},
    ],
    "operations": [
        {"id": "s1", "verb": "suspend", "selector": {"provider": "gmail"}, "since": 1.7e9}
        | {"until": 0.0, "who": "ann", "reason": "blocked", "args": {}},
        {"id": "b2", "verb": "bounce", "selector": {"tenant": "[b]"}, "since": 1.7e9}
        | {"until": 0.0, "who": "bob", "reason": "", "args": {"tell": True, "before": 1.7e9}},
    ],
    "operations_max": 1000,
}


def test_status(penstock, daemon):
    daemon.answers["status"] = STATUS
    result = penstock("status")
    assert result.exit_code == 0
    assert "penstock 0.1.0, ready, pid 77, up 1h02m, delivery: sandbox" in result.stdout
    assert "0,2" in result.stdout
    first, second = result.stdout.splitlines()[-2:]
    assert first.split()[:3] == ["s1", "suspend", "provider=gmail"]
    assert first.endswith("until cancelled  ann  blocked")
    assert "bounce, senders are told  tenant=[b]" in second
    assert "until done" in second


def test_status_of_a_daemon_that_is_not_ready(penstock, daemon):
    daemon.answers["status"] = {**STATUS, "ready": False, "reasons": ["worker 1 is not ready"]}
    result = penstock("status")
    assert result.exit_code == 1
    assert "not ready" in result.stdout
    assert "worker 1 is not ready" in result.stdout
    as_json = penstock("status", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["reasons"] == ["worker 1 is not ready"]


def test_a_reader_that_went_away_is_no_error(monkeypatch):
    @cli_common.command
    def broken() -> None:
        raise BrokenPipeError

    replaced = []
    with monkeypatch.context() as patch:  # pytest's own capture needs the real one afterwards
        patch.setattr(os, "dup2", lambda old, new: replaced.append(new) or os.close(old))
        with pytest.raises(cli_common.typer.Exit):
            broken()
    assert replaced == [1]


def test_a_user_without_a_name(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    assert cli_common.user_name() == "4000000000"
