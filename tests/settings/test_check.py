"""``check`` reads what the settings name: policies, keys, certificates; and says all at once."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from penstock.policy.policies import Policies
from penstock.settings import loader
from penstock.settings.check import Machine, check
from penstock.settings.files import read_file
from penstock.settings.loader import load_policy_directory, shown_path


def _pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _certificate(key: ec.EllipticCurvePrivateKey, days: int = 45) -> bytes:
    """Valid for so many days and half a one, from now."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    start, end = now - datetime.timedelta(days=30), now + datetime.timedelta(days=days, hours=12)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(start)
    builder = builder.not_valid_after(end)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies" / "providers").mkdir(parents=True)
    (tmp_path / "policies" / "default.toml").write_text("[limits]\nconnections = 5\n")
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "tls.key").write_bytes(_pem(key))
    (tmp_path / "tls.pem").write_bytes(_certificate(key))
    (tmp_path / "other.key").write_bytes(_pem(ec.generate_private_key(ec.SECP256R1())))
    (tmp_path / "dkim.pem").write_bytes(_pem(ed25519.Ed25519PrivateKey.generate()))
    return tmp_path


def _problems(home: Path, text: str) -> list[str]:
    (home / "config.toml").write_text(text)
    return [str(problem).replace(str(home), "HOME") for problem in check("config.toml")]


TLS = '[[smtp]]\nlisten = "127.0.0.1:2525"\ntls = "starttls"\n'


def test_everything_in_order(home: Path) -> None:
    dkim = '[[dkim]]\ndomain = "a.example"\nselector = "s"\nkey = "dkim.pem"\n'
    assert _problems(home, TLS + 'certificate = "tls.pem"\nkey = "tls.key"\n' + dkim) == []


def test_config_policies_and_keys_are_all_looked_at(home: Path) -> None:
    (home / "policies" / "default.toml").write_text("[limits]\nconections = 5\n")
    (home / "policies" / "providers" / "a.toml").write_bytes(b"\xff")
    (home / "policies" / "providers" / "README.md").write_text("not a policy")
    (home / "policies" / ".hidden.toml").write_text("not a policy")
    text = """\
hostnam = "x"
[[dkim]]
domain = "a.example"
selector = "s"
key = "missing.pem"
[[dkim]]
domain = "b.example"
selector = "s"
key = "tls.pem"
[[dkim]]
domain = "c.example"
selector = "s"
key = "tls.key"
[[dkim]]
domain = "d.example"
selector = "s"
key = ""
"""
    found = _problems(home, text)
    assert [line.partition('": ')[0] for line in found] == [
        'config.toml:1: hostnam: unknown key; did you mean "hostname"?',
        'config.toml:5: dkim[0].key: "HOME/missing.pem" cannot be read: No such file or directory',
        'config.toml:9: dkim[1].key: "HOME/tls.pem',
        'config.toml:13: dkim[2].key: "HOME/tls.key',
        "config.toml:17: dkim[3].key: must not be empty",
        'policies/default.toml:2: limits.conections: unknown key; did you mean "connections"?',
        "policies/providers/a.toml:1: not UTF-8 text; save the file as UTF-8",
    ]


@pytest.mark.parametrize(
    ("certificate", "key", "problems"),
    [
        ("tls.pem", "other.key", ["5: smtp[0].key: the key is not that of the certificate"]),
        (
            "tls.key",
            "tls.pem",
            [
                '4: smtp[0].certificate: "HOME/tls.key" holds no certificate in PEM form',
                '5: smtp[0].key: "HOME/tls.pem" holds no private key in PEM form, not encrypted',
            ],
        ),
        (
            "a.pem",
            "tls.key",
            ['4: smtp[0].certificate: "HOME/a.pem" cannot be read: No such file or directory'],
        ),
        (
            "tls.pem",
            "policies",
            ['5: smtp[0].key: "HOME/policies" cannot be read: Is a directory'],
        ),
    ],
)
def test_certificates(home: Path, certificate: str, key: str, problems: list[str]) -> None:
    found = _problems(home, f'{TLS}certificate = "{certificate}"\nkey = "{key}"\n')
    assert found == [f"config.toml:{problem}" for problem in problems]


def test_a_missing_config_file_is_all_there_is_to_say(home: Path) -> None:
    assert [str(problem) for problem in check("nowhere.toml")] == [
        "nowhere.toml: cannot be read: No such file or directory"
    ]


def test_a_missing_policy_directory(home: Path) -> None:
    assert _problems(home, 'policies = "nowhere"\n') == [
        "nowhere: cannot be read: No such file or directory; set policies"
    ]


def test_a_policy_directory_is_read_with_names_that_can_be_clicked(home: Path) -> None:
    policies = load_policy_directory(str(home / "policies"))
    assert isinstance(policies, Policies)
    where = policies.limits("", "", "").where("connections")
    assert str(where) == "policies/default.toml:2"


def test_a_policy_file_that_cannot_be_read(home: Path) -> None:
    (home / "policies" / "providers" / "a.toml").mkdir()
    found = load_policy_directory(str(home / "policies"))
    assert isinstance(found, list)
    assert [str(problem) for problem in found] == [
        "policies/providers/a.toml: cannot be read: Is a directory"
    ]


def test_bounds_on_what_is_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "POLICY_FILES_MAX", 0)
    (problem,) = load_policy_directory("policies")  # type: ignore[misc]
    assert str(problem) == "policies: holds more than 0 policy files"
    (home / "long").write_bytes(b"#" * (5 << 20))
    with pytest.raises(OSError, match="longer than"):
        read_file("long")


def test_paths_are_shown_as_short_as_can_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_path(str(home / "policies")) == "policies"
    assert shown_path("/etc/penstock/policies") == "/etc/penstock/policies"
    monkeypatch.chdir("/")
    assert shown_path("/etc/penstock/policies") == "/etc/penstock/policies"


def test_a_pool_that_no_policy_has_is_told_with_the_nearest(home: Path) -> None:
    pools = '[source.s1]\nipv4 = "127.0.0.1"\n[pool.bulk]\nsources = ["s1"]\n'
    (home / "policies" / "sources.toml").write_text(pools)
    text = '[[smtp]]\nlisten = "127.0.0.1:2525"\npool = "bulc"\n'
    text += 'auth = [{ user = "a", password_hash = "x", pools = ["bulk", "none"] }]\n'
    found = _problems(home, text)
    assert 'config.toml:3: smtp[0].pool: the policies have no pool "bulc"; ' in "\n".join(found)
    assert 'did you mean "bulk"?' in found[0]
    assert any('pools[1]: the policies have no pool "none"' in one for one in found)


SOURCES = """\
[source.here]
ipv4 = "198.51.100.1"

[source.there]
ipv4 = "198.51.100.2"
ipv6 = "2001:db8::2"

[source.behind]
ipv4 = "198.51.100.3"
proxy = "haproxy://127.0.0.1:2525"
"""
MACHINE = Machine(
    lambda asked: [one for one in asked if one != "198.51.100.1"], ["198.51.100.1", "127.0.0.1"]
)


def test_a_source_whose_address_is_of_another_machine(home: Path) -> None:
    (home / "policies" / "sources.toml").write_text(SOURCES)
    (home / "config.toml").write_text('delivery = "live"\npolicies = "policies"\n')
    first, second = map(str, check("config.toml", machine=MACHINE))
    assert first == (
        'policies/sources.toml:5: source "there": 198.51.100.2 is not an address of this machine; '
        'did you mean "198.51.100.1"?'
    )
    assert second == (
        'policies/sources.toml:6: source "there": 2001:db8::2 is not an address of this machine'
    )
    assert check("config.toml") == [], "a daemon starts, and takes out what is not there"


def test_in_the_sandbox_no_source_needs_its_address(home: Path) -> None:
    (home / "policies" / "sources.toml").write_text(SOURCES)
    (home / "config.toml").write_text('delivery = "sandbox"\npolicies = "policies"\n')
    assert check("config.toml", machine=MACHINE) == []


@pytest.mark.parametrize(
    ("days", "says"),
    [(45, ""), (29, "expires on"), (1, "expires on"), (-2, "expired on")],
)
def test_a_certificate_that_ends_soon_is_a_warning(home: Path, days: int, says: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (home / "soon.key").write_bytes(_pem(key))
    (home / "soon.pem").write_bytes(_certificate(key, days))
    (home / "config.toml").write_text(f'{TLS}certificate = "soon.pem"\nkey = "soon.key"\n')
    found = [one for one in check(str(home / "config.toml")) if "certificate" in one.message]
    assert [one.warning for one in found] == [True] * bool(says)
    assert all(says in one.message and one.line == 4 for one in found)


def test_the_files_of_tls_on_the_way_out(home: Path) -> None:
    found = _problems(home, '[tls]\nca = "tls.key"\ncertificate = "tls.pem"\nkey = "other.key"\n')
    assert found == [
        'config.toml:2: tls.ca: "HOME/tls.key" holds no certificate in PEM form',
        "config.toml:4: tls.key: the key is not that of the certificate",
    ]
