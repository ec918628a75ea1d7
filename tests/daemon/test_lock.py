"""The spool's lock: one daemon, to its last worker; and what an upgrade passes on."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import sys
import threading

import pytest

from penstock.daemon import handover
from penstock.daemon.handover import ENVIRON, Inheritance, command
from penstock.daemon.lock import SpoolInUse, hold
from penstock.daemon.sockets import BindError, by_address, listen_control


def _no_wait() -> None:
    raise AssertionError("nobody is there to wait for")


def test_it_is_free_again_when_the_last_descriptor_is_closed(tmp_path: pathlib.Path) -> None:
    spool, control = str(tmp_path / "spool"), str(tmp_path / "none.sock")
    first = hold(spool, control, _no_wait)
    worker = os.dup(first)  # what a worker inherits
    os.close(first)
    waited = threading.Event()
    threading.Thread(target=lambda: (waited.wait(10), os.close(worker))).start()
    os.close(hold(spool, control, waited.set, 10.0))
    assert waited.is_set()


def test_a_daemon_that_answers_is_not_waited_for(tmp_path: pathlib.Path) -> None:
    spool, control = str(tmp_path / "spool"), str(tmp_path / "c.sock")
    held = hold(spool, control, _no_wait)
    with listen_control(control, []), pytest.raises(SpoolInUse, match="another daemon"):
        hold(spool, control, _no_wait)
    os.close(held)


def test_workers_that_do_not_end_are_given_up(tmp_path: pathlib.Path) -> None:
    spool, control = str(tmp_path / "spool"), str(tmp_path / "none.sock")
    held = hold(spool, control, _no_wait)
    with pytest.raises(SpoolInUse, match="do not end"):
        hold(spool, control, lambda: None, 0.0)
    os.close(held)


def test_the_control_socket_is_for_this_user_and_can_be_passed_on(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "run" / "c.sock")
    with listen_control(path, []) as first:
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert listen_control(path, [first]) is first
    with listen_control(path, []), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)  # what was left there is replaced
    with pytest.raises(BindError, match="long"):
        listen_control(str(tmp_path / ("x" * 200)), [])


def test_what_is_handed_over_is_taken_once_and_kept_from_children(tmp_path: pathlib.Path) -> None:
    ours, theirs = socket.socketpair()
    tcp = socket.create_server(("127.0.0.1", 0))
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    for fd in (theirs.fileno(), tcp.fileno(), lock):
        os.set_inheritable(fd, True)
    address = tcp.getsockname()
    given = {"channel": theirs.detach(), "lock": lock, "sockets": [tcp.detach()], "spool": "s"}
    environ = {ENVIRON: json.dumps(given)}
    taken = Inheritance.take(environ)
    assert environ == {}
    assert taken is not None
    assert (taken.spool, taken.lock) == ("s", lock)
    assert list(by_address(taken.sockets)) == [address]
    assert not any(map(os.get_inheritable, (taken.channel.fileno(), lock)))
    assert not taken.sockets[0].get_inheritable()
    taken.refuse("not like this")
    assert b"not like this" in ours.recv(100)
    for one in (ours, taken.channel, *taken.sockets):
        one.close()
    os.close(lock)
    assert Inheritance.take(environ) is None


def test_the_same_call_finds_new_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "penstock", "run"])
    assert command() == [sys.executable, "-m", "penstock", "run"]
    script = tmp_path / "penstock"
    script.write_text("#!/another/python\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "orig_argv", ["python", str(script), "run"])
    assert command() == [str(script), "run"], "its first line names the interpreter"
    assert handover.NEW_WORKERS > 64
