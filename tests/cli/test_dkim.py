"""``penstock dkim``: keys are private from their first byte and never overwritten."""

from __future__ import annotations

import os
import stat

import pytest

from penstock import cli_dkim


def test_keygen_writes_a_private_file_and_says_what_to_publish(penstock, here):
    umask = os.umask(0)
    try:
        result = penstock("dkim", "keygen", "k.pem", "--domain", "shop.example", "-s", "s9")
    finally:
        os.umask(umask)
    assert result.exit_code == 0
    assert stat.S_IMODE((here / "k.pem").stat().st_mode) == 0o600
    assert "PRIVATE KEY" in (here / "k.pem").read_text()
    assert "PRIVATE" not in result.stdout
    assert "s9._domainkey.shop.example. 3600 IN TXT" in result.stdout
    assert "v=DKIM1; k=rsa" in result.stdout
    assert 'selector = "s9"' in result.stdout


def test_keygen_of_the_other_type(penstock, here):
    assert penstock("dkim", "keygen", "k.pem", "--type", "ed25519").stdout == "wrote k.pem\n"
    out = penstock("dkim", "dns", "k.pem", "--domain", "shop.example").stdout
    assert out.startswith("s1._domainkey.shop.example.")
    assert "k=ed25519" in out


def test_an_existing_file_is_kept(penstock, here):
    (here / "k.pem").write_text("precious")
    (here / "link.pem").symlink_to(here / "elsewhere.pem")
    for name in ("k.pem", "link.pem"):
        result = penstock("dkim", "keygen", name, "--type", "ed25519")
        assert result.exit_code == 1
        assert "exists already" in result.stderr
    assert (here / "k.pem").read_text() == "precious"
    assert not (here / "elsewhere.pem").exists()


def test_a_file_that_appears_meanwhile_is_kept(here):
    (here / "k.pem").write_text("precious")
    with pytest.raises(cli_dkim.CommandError, match="exists already"):
        cli_dkim.write_secret(here / "k.pem", "new")
    assert (here / "k.pem").read_text() == "precious"


def test_a_key_half_written_is_taken_away(here, monkeypatch):
    def fail(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        cli_dkim.write_secret(here / "k.pem", "new")
    assert not (here / "k.pem").exists()


def test_keys_that_are_none(penstock, here):
    weak = penstock("dkim", "keygen", "k.pem", "--bits", "512")
    assert weak.exit_code == 2
    assert "bits" in weak.stderr
    missing = penstock("dkim", "dns", "no.pem", "-d", "shop.example")
    assert (missing.exit_code, missing.stderr) == (
        1,
        "penstock: no.pem: No such file or directory\n",
    )
    (here / "k.pem").write_text("not a key")
    broken = penstock("dkim", "dns", "k.pem", "-d", "shop.example")
    assert broken.exit_code == 1
    assert broken.stderr.startswith("penstock: k.pem: ")
    assert penstock("dkim", "dns", "k.pem").exit_code == 2
    no_directory = penstock("dkim", "keygen", "no/k.pem", "--type", "ed25519")
    assert no_directory.exit_code == 1
    assert "No such file or directory" in no_directory.stderr


def test_dns_of_all_keys_in_the_settings(penstock, here):
    for name in ("a", "b"):
        penstock("dkim", "keygen", f"{name}.pem", "--type", "ed25519")
    (here / "config.toml").write_text(
        "".join(
            f'[[dkim]]\ndomain = "{name}.example"\nselector = "s1"\nkey = "{name}.pem"\n'
            for name in ("a", "b")
        )
    )
    both = penstock("dkim", "dns").stdout
    assert "s1._domainkey.a.example." in both
    assert "s1._domainkey.b.example." in both
    assert "a.example" not in penstock("dkim", "dns", "-d", "b.example").stdout
    none = penstock("dkim", "dns", "-d", "c.example")
    assert none.exit_code == 1
    assert "no [[dkim]] of c.example" in none.stderr


def test_no_keys_at_all(penstock, here):
    assert "has no [[dkim]]; make a key" in penstock("dkim", "dns").stderr
