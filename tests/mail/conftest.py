"""Keys, made once for the whole run, and a DNS that publishes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.mail.dkim_keys import PrivateKey, keygen, load_key, record_text


@pytest.fixture(scope="session")
def rsa_pem() -> str:
    return keygen("rsa", 2048)


@pytest.fixture(scope="session")
def rsa(rsa_pem: str) -> PrivateKey:
    return load_key(rsa_pem)


@pytest.fixture(scope="session")
def ed25519() -> PrivateKey:
    return load_key(keygen("ed25519"))


@pytest.fixture(scope="session")
def dns(rsa: PrivateKey, ed25519: PrivateKey) -> Callable[..., bytes]:
    """What dkimpy asks for TXT records: selector ``r`` is the RSA key, ``e`` the other one."""
    keys = {b"r": rsa, b"e": ed25519}

    def txt(name: bytes, timeout: int = 5) -> bytes:
        return record_text(keys[name.partition(b"._domainkey.")[0]]).encode("ascii")

    return txt
