"""What one TLS handshake costs us, agreed upon from nothing and resumed: our side alone, in CPU.

Both ends are in this process and talk through memory; only the time within our own calls counts:
making the object, every step of the handshake, reading what the host sends after it (the tickets of
TLS 1.3), and copying the session out to be kept. The host shows what hosts of the real world show:
an RSA-2048 certificate and that of its issuer.
"""

from __future__ import annotations

import pathlib
import ssl
import statistics
import time
from dataclasses import dataclass

from bench import keys
from penstock.relay.resumption import Handshake, ResumingContext, resumable
from penstock.relay.tls import TlsFiles, client_context

NAME = "sink.example"
_STEPS_MAX = 10


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU microseconds of one handshake, medians."""

    what: str
    full_us: float
    resumed_us: float

    @property
    def share(self) -> float:
        return self.resumed_us / self.full_us


class _Clock:
    """CPU time of this thread within ``with`` blocks."""

    def __init__(self) -> None:
        self.spent_ns = 0

    def __enter__(self) -> None:
        self._since = time.thread_time_ns()

    def __exit__(self, *error: object) -> None:
        self.spent_ns += time.thread_time_ns() - self._since


def measure(directory: pathlib.Path, rounds: int) -> list[Cost]:
    """Of what policies lead to: unverified and verified, in both versions of TLS."""
    certificate, key, root = (directory / name for name in ("h.crt", "h.key", "root.crt"))
    keys.make_chain(certificate, key, NAME, root)
    found = []
    for verify in (False, True):
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(certificate, key)
            server.maximum_version = version
            client = client_context(verify=verify, files=TlsFiles(ca=str(root)))
            what = f"TLS {'1.3' if version is ssl.TLSVersion.TLSv1_3 else '1.2'}"
            what += ", verified" if verify else ", not verified"
            found.append(_cost(what, client, server, rounds))
    return found


def _cost(what: str, client: ResumingContext, server: ssl.SSLContext, rounds: int) -> Cost:
    full, resumed = [], []
    for _ in range(rounds):
        cost_us, session = _shake(client, server, None)
        full.append(cost_us)
        assert session is not None
        cost_us, none = _shake(client, server, session)
        assert none is None, "it was not resumed"
        resumed.append(cost_us)
    return Cost(what, statistics.median(full), statistics.median(resumed))


def _shake(
    client: ResumingContext, server: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[float, ssl.SSLSession | None]:
    """One handshake; its CPU microseconds, and the session to keep where it was a full one."""
    clock = _Clock()
    to_us, to_host = ssl.MemoryBIO(), ssl.MemoryBIO()
    host = server.wrap_bio(to_host, to_us, server_side=True)
    with clock:
        ours = client.begin(to_us, to_host, NAME, Handshake(session))
    for _ in range(_STEPS_MAX):
        with clock:
            done = _step(ours)
        if _step(host) and done:
            break
    host.write(b"250 go\r\n")
    with clock:
        ours.read(100)
        reused = ours.session_reused
        kept = None if reused else resumable(ours)
    return clock.spent_ns / 1e3, kept


def _step(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
