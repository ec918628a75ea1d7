"""Keys: what is read, what is refused and in which words, what goes into DNS."""

from __future__ import annotations

import re
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)

from penstock.mail.dkim_keys import (
    BadKey,
    PrivateKey,
    keygen,
    load_key,
    record_strings,
    record_text,
    zone_entry,
)


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_both_pem_forms_of_rsa(form: PrivateFormat, rsa_pem: str) -> None:
    made = load_pem_private_key(rsa_pem.encode(), None)
    assert isinstance(made, rsa.RSAPrivateKey)
    key = load_key(pem_of(made, form))
    assert (key.kind, key.bits, key.warning) == ("rsa", 2048, "")


def test_a_weak_key_is_taken_with_a_warning() -> None:
    key = load_key(pem_of(rsa.generate_private_key(65537, 1024), PrivateFormat.PKCS8))
    assert key.bits == 1024
    assert "1024 bits is weak" in key.warning


def refused(pem: bytes | str) -> str:
    with pytest.raises(BadKey) as caught:
        load_key(pem)
    return str(caught.value)


def test_refusals_say_what_it_is(rsa_pem: str) -> None:
    key = load_pem_private_key(rsa_pem.encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    old = key.private_bytes(
        Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")
    )
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    curve = pem_of(ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8)
    assert "not a PEM file" in refused("MC4CAQAwBQYDK2VwBCIEIA==")
    assert "not a PEM file" in refused("")
    assert "a public key, not of a private key" in refused(public)
    assert "encrypted" in refused(locked)
    assert "encrypted" in refused(old)
    assert "DKIM knows RSA and Ed25519" in refused(curve)
    assert "not a readable private key" in refused(rsa_pem.replace("M", "?"))


def test_too_small_a_key_is_refused() -> None:
    # 768 bits, made once: cryptography makes none so small any more.
    pem = """-----BEGIN RSA PRIVATE KEY-----
MIIBzAIBAAJhAKrnrcFKjPsPUlxnir8bBVDbW4JKcT167Oe3MlCw5uH2UU3+Yutx
DHIg5vvwRzoXZ4YZUeDvk83Y9wqhdAbD5gTYXrAgrEI2RsJlKzbUeF2ul2OFM88b
HNcduD4vJiLLXQIDAQABAmEAjBoiwar4ybN0xBWJk0J2aCN67+NQ06Ka5RW0JJvw
mdqQKkzZEMN6/XBlirEd4sxdlN57/qEGnuE3L4XG492vEWO8/JRvRjtnG25pdIj8
+vnNTRoTBxAuXtGimVUI6ELNAjEA3qlHNwAwxeH8HIhK2Wx4ntPWio6Sbg4WA0jk
J2AZWcqI3w7R1pXh/l9pM5d6WyBDAjEAxH6Od9cqRVMVLBYg2rarrUKfcjWFs1eI
rkXxftH49V0GTZKRLVNDDofgR2j1YPvfAjBkWSYfQ5a3mAFnWoVhN+GksxQdneOg
dfi1wkQQ+t5x+TV2UdeAPkx7t8RR3BLovsECMQCqtay+rv85dUH6qEro2TTzdOMj
jR5YPh8wEPILFQ7u1F/KeyCHuUOT1zZhs+0i0g8CMQCxfTfYQyyldY4R8HWurUG9
+HDhdDaGOYu3G97MassvHlpC56nQur0C5fiBs2/LiSM=
-----END RSA PRIVATE KEY-----
"""
    assert re.search(r"768 bits|not a readable private key", refused(pem))


def test_keygen_refuses_what_nobody_accepts() -> None:
    with pytest.raises(BadKey, match="2048 to 4096"):
        keygen("rsa", 1024)
    with pytest.raises(BadKey, match="rsa and ed25519"):
        keygen("dsa")  # type: ignore[arg-type]


def test_the_record_holds_the_public_key(rsa: PrivateKey, ed25519: PrivateKey) -> None:
    text = record_text(rsa)
    assert text.startswith("v=DKIM1; k=rsa; p=")
    load_der_public_key(b64decode(text.partition("p=")[2]))
    text = record_text(ed25519, testing=True)
    assert text.startswith("v=DKIM1; k=ed25519; t=y; p=")
    assert len(b64decode(text.partition("p=")[2])) == 32


def test_zone_files_take_strings_of_255(rsa: PrivateKey) -> None:
    text = record_text(rsa)
    assert "".join(record_strings(text)) == text
    assert [len(piece) for piece in record_strings("x" * 600)] == [255, 255, 90]
    entry = zone_entry("s1", "example.com", rsa)
    assert entry.startswith("s1._domainkey.example.com. 3600 IN TXT (\n")
    assert "".join(re.findall(r'"([^"]*)"', entry)) == text


def test_a_key_does_not_show_itself(rsa: PrivateKey) -> None:
    assert "sign" not in repr(rsa)
