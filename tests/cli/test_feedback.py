"""``penstock feedback``: keys are private and rotate, tokens can be read, DNS is told."""

from __future__ import annotations

import os
import stat
import time

import pytest

from penstock.mail.verp import make_token
from penstock.settings.token_keys import load_token_keys


@pytest.fixture
def config(here):
    (here / "policies" / "tenants.toml").write_text(
        '[tenant.shop.feedback]\nbounce_domain = "b.shop.example"\n'
    )
    (here / "policies" / "sources.toml").write_text('[source.s1]\nipv4 = "192.0.2.1"\n')
    (here / "config.toml").write_text('hostname = "mx.example"\n[feedback]\nkeys = "f.keys"\n')


def test_keygen_writes_a_private_file_and_overwrites_none(penstock, here):
    umask = os.umask(0)
    try:
        result = penstock("feedback", "keygen", "f.keys")
    finally:
        os.umask(umask)
    assert result.exit_code == 0
    assert 'keys = "f.keys"' in result.stdout
    assert stat.S_IMODE((here / "f.keys").stat().st_mode) == 0o600
    before = (here / "f.keys").read_bytes()
    again = penstock("feedback", "keygen", "f.keys")
    assert again.exit_code == 1
    assert "rotate" in again.stderr
    assert (here / "f.keys").read_bytes() == before


def test_rotation_keeps_what_is_out_good_and_the_files_mode(penstock, here, config):
    penstock("feedback", "keygen", "f.keys")
    (here / "f.keys").chmod(0o640)
    first = load_token_keys("f.keys").current
    assert "2 are accepted" in penstock("feedback", "rotate").stdout
    keys = load_token_keys("f.keys")
    assert keys.current != first
    assert first in keys.keys
    assert stat.S_IMODE((here / "f.keys").stat().st_mode) == 0o640
    assert sorted(path.name for path in here.iterdir() if "keys" in path.name) == ["f.keys"]


def test_a_key_can_be_staged_for_several_machines(penstock, here, config):
    penstock("feedback", "keygen", "f.keys")
    first = load_token_keys("f.keys").current
    assert "signs still" in penstock("feedback", "rotate", "f.keys", "--stage").stdout
    staged = load_token_keys("f.keys")
    assert staged.current == first
    assert penstock("feedback", "rotate", "--stage").exit_code == 1
    penstock("feedback", "rotate")
    assert load_token_keys("f.keys").keys == (staged.keys[1], first)


def test_a_token_says_what_it_is_for(penstock, config):
    penstock("feedback", "keygen", "f.keys")
    token = make_token(load_token_keys("f.keys"), "b", 33, True, time.time())
    for text in (token, f"<b-{token}@b.shop.example>", f"https://u.shop.example/u/{token}"):
        assert (
            "purpose: bounce\ndelivery: 11\nmade: 20" in penstock("feedback", "token", text).stdout
        )
    result = penstock("feedback", "token", token[:-1] + "01"[token[-1] == "0"])
    assert result.exit_code == 1
    assert "forged" in result.stderr


def test_dns_names_the_domains(penstock, config):
    out = penstock("feedback", "dns").stdout
    assert out == (
        'b.shop.example. MX 10 mx.example.\nb.shop.example. TXT "v=spf1 ip4:192.0.2.1 -all"\n'
    )


@pytest.mark.parametrize("command", [["rotate"], ["token", "x"]])
def test_without_keys_it_says_how_to_make_them(penstock, here, command):
    (here / "config.toml").write_text("")
    result = penstock("feedback", *command)
    assert result.exit_code == 1
    assert "penstock feedback keygen" in result.stderr


def test_a_warning_keeps_nobody_from_anything(penstock, here, config):
    penstock("feedback", "keygen", "f.keys")
    text = (here / "config.toml").read_text()
    (here / "config.toml").write_text('delivery = "live"\n' + text)
    (here / "policies" / "sources.toml").unlink()
    result = penstock("check")
    assert "warning: tenant" in result.stdout
    assert result.exit_code == 0
