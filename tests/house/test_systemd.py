"""The units are what systemd takes, sandboxed as promised, and fit the daemon's own defaults."""

import pathlib
import re
import shutil
import subprocess

import pytest

from penstock.settings.models import Settings

UNITS = pathlib.Path(__file__).resolve().parents[2] / "systemd"
SERVICE = (UNITS / "penstock.service").read_text()
EXPOSURE_MAX = 2.5
# what the supervisor and the workers need beyond the deadline to write everything down
WRITING_S = 10


def value(key):
    (found,) = re.findall(rf"^{key}=(.*)$", SERVICE, re.MULTILINE)
    return found


@pytest.fixture
def analyze(tmp_path):
    """Runs ``systemd-analyze`` on copies whose command exists on any machine."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    (tmp_path / "penstock.service").write_text(SERVICE.replace("/usr/bin/penstock", "/bin/true"))
    shutil.copy(UNITS / "penstock.socket", tmp_path)

    def run(*arguments):
        command = [tool, *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


def test_verify_finds_nothing(analyze):
    done = analyze("verify", "./penstock.service", "./penstock.socket")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_sandbox_is_tight(analyze):
    done = analyze("security", "--offline=true", "./penstock.service")
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot rate units offline (before 250)")
    (exposure,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert float(exposure) <= EXPOSURE_MAX


def test_the_only_capability_is_to_bind_low_ports():
    assert value("CapabilityBoundingSet") == "CAP_NET_BIND_SERVICE"
    assert value("AmbientCapabilities") == "CAP_NET_BIND_SERVICE"
    assert value("User") == "penstock"


def test_the_stop_timeout_leaves_room_for_the_daemons_own_deadline():
    assert int(value("TimeoutStopSec")) > Settings().stop_deadline_s + WRITING_S


def test_the_socket_names_its_addresses_in_full():
    """The daemon recognises an inherited socket by its address, so a bare port would not do."""
    text = (UNITS / "penstock.socket").read_text()
    addresses = re.findall(r"^ListenStream=(.*)$", text, re.MULTILINE)
    assert addresses
    assert all(re.fullmatch(r"(\d+\.){3}\d+:\d+|\[[0-9a-f:]+\]:\d+", one) for one in addresses)
    assert "BindIPv6Only=ipv6-only" in text
