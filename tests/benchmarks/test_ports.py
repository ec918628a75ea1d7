"""Ports for programs of a benchmark or a test: nobody else is given them in the meantime."""

from __future__ import annotations

import socket
import subprocess
import sys

from bench.harness import PORTS_EACH, free_port

ASK = "from bench.harness import free_port; print(free_port())"


def test_no_port_comes_twice_soon() -> None:
    ports = [free_port() for _ in range(PORTS_EACH // 2)]
    assert len(set(ports)) == len(ports)


def test_processes_beside_each_other_have_shares_of_their_own() -> None:
    mine = free_port()
    said = subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True, text=True)
    assert int(said.stdout) // PORTS_EACH != mine // PORTS_EACH


def test_a_port_in_use_is_passed_over() -> None:
    with socket.socket() as taken:
        after = free_port()
        taken.bind(("127.0.0.1", after + 1 if (after + 1) % PORTS_EACH else after + 1 - PORTS_EACH))
        assert free_port() not in (after, taken.getsockname()[1])
