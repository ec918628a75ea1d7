"""DKIM signing: ours against plain dkimpy, on one 10 KiB message.

Both sign the same message with the same key, relaxed/relaxed, and both signatures are verified by
dkimpy first. "The rest" is our signing with the key's arithmetic left out. Prints a table and, as
the last line, JSON. CPU time of one process, best of several rounds, so that what else the machine
does counts as little as possible.

    python bench/sign.py [--seconds 1.0]
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "engine"))

import dkim as dkimpy
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from penstock.mail.dkim import DEFAULT, Signer
from penstock.mail.dkim_keys import PrivateKey, keygen, load_key, record_text
from penstock.mail.dkim_ring import KeyRing
from penstock.mail.headers import body_offset

SIZE_BYTES = 10 << 10
ROUNDS = 5


def message() -> bytes:
    """Text of lines of words, 14 header fields; the same every time."""
    rng = random.Random(1)
    header = (
        b"Received: from app.example.com (app.example.com [192.0.2.1])\r\n"
        b"\tby mx.example.org with ESMTPS id 0123456789abc; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
        b"From: Example News <news@example.com>\r\nTo: someone@example.net\r\n"
        b"Subject: The news of this week, and what to make of it\r\n"
        b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <0123456789abc@example.com>\r\n"
        b"Reply-To: reply@example.com\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n"
        b"List-Id: Example News <news.example.com>\r\n"
        b"List-Unsubscribe: <https://example.com/u/0123456789abcdef0123456789abcdef>\r\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nFeedback-ID: 1:2:3:example\r\n\r\n"
    )
    lines = [header]
    size = len(header)
    while size < SIZE_BYTES:
        words = " ".join("w" * rng.randint(1, 9) for _ in range(12))
        lines.append(words.encode("ascii") + b"\r\n")
        size += len(lines[-1])
    return b"".join(lines)


def cpu_us(work: Callable[[], object], seconds: float) -> float:
    """CPU microseconds of one call: the best of several rounds."""
    work()
    best = float("inf")
    for _ in range(ROUNDS):
        calls = 0
        start = time.process_time()
        spent = 0.0
        while spent < seconds / ROUNDS:
            for _ in range(5):
                work()
            calls += 5
            spent = time.process_time() - start
        best = min(best, spent / calls)
    return best * 1e6


def dkimpys_key(kind: str, pem: str) -> bytes:
    """The key as dkimpy wants it: PKCS#1 PEM, or the bare Ed25519 seed in base64."""
    key = load_pem_private_key(pem.encode("ascii"), None)
    if kind == "rsa":
        return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def verify(field: bytes, content: bytes, key: PrivateKey) -> None:
    """Stop the run where a signature does not hold."""
    if not dkimpy.verify(field + content, dnsfunc=lambda *_, **__: record_text(key).encode()):
        raise SystemExit("a signature does not verify")


def measure(kind: str, content: bytes, seconds: float) -> dict[str, float]:
    pem = keygen("rsa", 2048) if kind == "rsa" else keygen("ed25519")
    key = load_key(pem)
    end = body_offset(content)
    ring = KeyRing([Signer("example.com", "s", key)])
    result_bytes = bytes(len(key.sign(bytes(32))))
    blank = KeyRing([Signer("example.com", "s", replace(key, sign=lambda _: result_bytes))])
    theirs_key = dkimpys_key(kind, pem)
    algorithm = f"{kind}-sha256".encode()
    names = [name.encode() for name in DEFAULT.signed] + [b"From"]

    def ours() -> bytes:
        return ring.sign(content, end, time.time())

    def theirs() -> bytes:
        return bytes(
            dkimpy.sign(
                content,
                b"s",
                b"example.com",
                theirs_key,
                canonicalize=(b"relaxed", b"relaxed"),
                signature_algorithm=algorithm,
                include_headers=names,
            )
        )

    verify(ours(), content, key)
    verify(theirs(), content, key)
    digest = bytes(32)
    result = {
        "penstock_us": cpu_us(ours, seconds),
        "dkimpy_us": cpu_us(theirs, seconds),
        "arithmetic_us": cpu_us(lambda: key.sign(digest), seconds),
        "rest_us": cpu_us(lambda: blank.sign(content, end, time.time()), seconds),
    }
    result["ratio"] = result["dkimpy_us"] / result["penstock_us"]
    return {name: round(value, 1) for name, value in result.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU time for each figure")
    seconds = parser.parse_args().seconds
    content = message()
    results = {kind: measure(kind, content, seconds) for kind in ("rsa", "ed25519")}
    print(f"DKIM signing of {len(content)} bytes, relaxed/relaxed, CPU microseconds a message")
    print(f"{'':12}{'penstock':>10}{'dkimpy':>10}{'ratio':>8}{'key alone':>12}{'the rest':>10}")
    for kind, label in (("rsa", "RSA-2048"), ("ed25519", "Ed25519")):
        row = results[kind]
        print(
            f"{label:12}{row['penstock_us']:>10.0f}{row['dkimpy_us']:>10.0f}{row['ratio']:>8.1f}"
            f"{row['arithmetic_us']:>12.0f}{row['rest_us']:>10.0f}"
        )
    print(json.dumps({"bench": "sign", "bytes": len(content), "results": results}))


if __name__ == "__main__":
    main()
