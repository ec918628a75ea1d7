"""``penstock check`` on what comes back: keys, listeners, tenants; errors and warnings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.mail.verp_keys import first_key, keys_text
from penstock.settings.check import check
from penstock.settings.models import Settings
from penstock.settings.token_keys import load_token_keys

KEYS = '[feedback]\nkeys = "feedback.keys"\n'
DOOR = '[[smtp]]\nlisten = "127.0.0.1:2526"\nrole = "feedback"\n'
TENANT = '[tenant.shop.feedback]\nbounce_domain = "b.shop.example"\n'
ONE_CLICK = '[tenant.shop.feedback]\nunsubscribe_url = "https://u.shop.example/u"\n'


@pytest.fixture
def problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").mkdir()
    keys = tmp_path / "feedback.keys"
    keys.write_text(keys_text(first_key(b"s" * 32, "2026-01-01")))
    keys.chmod(0o600)

    def problems(config: str, tenants: str = "", live: bool = False) -> list[str]:
        head = 'delivery = "live"\n' if live else ""
        (tmp_path / "config.toml").write_text(head + config)
        (tmp_path / "policies" / "tenants.toml").write_text(tenants)
        return [str(one).replace(str(tmp_path), "HOME") for one in check("config.toml")]

    return problems


def test_all_is_well(problems: Callable[..., list[str]]) -> None:
    assert problems(KEYS + DOOR, TENANT, live=True) == []
    assert problems("", "") == []


def test_tokens_need_a_key(problems: Callable[..., list[str]]) -> None:
    (said,) = problems("", TENANT)
    assert said.startswith(
        'policies/tenants.toml:2: tenant "shop": bounce_domain needs a key for its tokens; '
    )
    assert "penstock feedback keygen" in said
    (said,) = problems("", ONE_CLICK)
    assert "unsubscribe_url needs a key" in said


def test_a_listener_for_reports_needs_a_key_and_relays_for_nobody(
    problems: Callable[..., list[str]],
) -> None:
    (said,) = problems(DOOR)
    assert said.startswith("config.toml:3: smtp[0].role: a listener of role feedback needs keys")
    said = "\n".join(problems(DOOR + 'relay_from = ["10.0.0.0/8"]\ntenant = "shop"\n' + KEYS))
    assert (
        "config.toml:4: smtp[0].relay_from: a listener of role feedback relays for nobody" in said
    )
    assert "config.toml:5: smtp[0].tenant: a listener of role feedback relays for nobody" in said


def test_a_relay_has_no_domains_and_takes_a_hundred_recipients(
    problems: Callable[..., list[str]],
) -> None:
    relay = '[[smtp]]\nlisten = "127.0.0.1:2525"\n'
    (said,) = problems(relay + 'domains = ["b.example"]\n')
    assert "config.toml:3: smtp[0].domains: only a listener with role" in said
    (said,) = problems(relay + "recipients_max = 99\n")
    assert "config.toml:3: smtp[0].recipients_max: fewer than 100" in said
    said = "\n".join(problems(relay + 'rol = "feedback"\n'))
    assert 'config.toml:3: smtp[0].rol: unknown key; did you mean "role"?' in said


def test_where_mail_really_goes_out_a_domain_that_nobody_serves_is_a_warning(
    problems: Callable[..., list[str]],
) -> None:
    assert problems(KEYS, TENANT) == []
    (said,) = problems(KEYS, TENANT, live=True)
    assert said.startswith('policies/tenants.toml:2: warning: tenant "shop": nothing here takes')
    (said,) = problems(KEYS + DOOR, ONE_CLICK, live=True)
    assert "policies/tenants.toml:2: warning: " in said
    assert "only where it is signed" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda keys: keys.chmod(0o644), "can be read or changed by others (0644); chmod 600 it"),
        (lambda keys: keys.unlink(), "cannot be read: No such file or directory"),
        (lambda keys: keys.write_text("nonsense\n"), "line 1 is not ID DAY SECRET"),
        (lambda keys: keys.write_bytes(b"\xff\xfe"), "is no file of keys"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used(
    problems: Callable[..., list[str]],
    tmp_path: Path,
    change: Callable[[Path], None],
    message: str,
) -> None:
    change(tmp_path / "feedback.keys")
    (said,) = problems(KEYS)
    assert said.startswith("config.toml:2: feedback.keys: ")
    assert message in said


def test_a_group_may_read_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(keys_text(first_key(b"s" * 32, "2026-01-01")))
    path.chmod(0o640)
    assert load_token_keys(str(path)).current.secret == b"s" * 32


def test_a_listener_for_reports_has_small_limits(settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of(KEYS + DOOR + '[[smtp]]\nlisten = "127.0.0.1:2525"\n')
    door, relay = settings.smtp
    assert door.relay_from == ()
    assert door.size_max_bytes == 1 << 20
    assert door.recipients_max == 10
    assert door.connections_per_client_max == 10
    assert relay.size_max_bytes == 50 << 20
    assert relay.recipients_max == 1000
    own = settings_of(KEYS + DOOR + 'size_max_bytes = "2 MiB"\n').smtp[0]
    assert own.size_max_bytes == 2 << 20


def test_the_postmaster_is_somewhere_else(problems: Callable[..., list[str]]) -> None:
    assert problems(KEYS + 'postmaster = "me@shop.example"\n' + DOOR, TENANT) == []
    (said,) = problems(KEYS + 'postmaster = "me@B.Shop.Example"\n' + DOOR, TENANT)
    assert said.startswith("config.toml:3: feedback.postmaster: ")
    assert "come back for ever" in said


@pytest.mark.parametrize("local", ["b-0123456789abcdefghjkmnpqrstvwxyz01", "two words", "a@b", ""])
def test_local_parts_that_make_no_sense(
    problems_of: Callable[[str], list[str]], local: str
) -> None:
    (said,) = problems_of(f'[feedback]\ncomplaint_addresses = ["{local}"]\n')
    assert said.startswith("config.toml:2: feedback.complaint_addresses[0]: ")
