"""Whatever a config file holds, loading gives settings or problems and nothing else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.settings.loader import load_settings
from penstock.settings.models import Settings

_WORDS = st.sampled_from(
    [
        "hostname", "smtp", "listen", "route", "domains", "dkim", "http", "workers", "auth",
        "relay_from", "tls", "[", "]", "[[", "]]", "{", "}", "=", ",", ".", '"', "'", '"""',
        "\n", " ", "#", "0", "-1", "1e999", "nan", "true", '"127.0.0.1:25"', '"5m"', "07:32:00",
        "\\u0000", "\x00", "é", "\r", "9" * 5000,
    ]
)  # fmt: skip
_NOISE = st.lists(_WORDS, max_size=12).map("".join)
FULL = """\
hostname = "mail.example.com"
workers = 2
[[smtp]]
listen = "127.0.0.1:2525"
tls = "none"
relay_from = ["127.0.0.0/8", "::1/128"]
[http]
listen = "127.0.0.1:8025"
[[route]]
domains = ["*"]
next_hop = "127.0.0.2:2626"
connections = 50
[[dkim]]
domain = "example.com"
selector = "s1"
key = "keys/s1.pem"
[queue]
segment_bytes = "64 MiB"
"""


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_mutated_files_never_crash(data: st.DataObject) -> None:
    text = FULL
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 40)))
        text = text[:start] + data.draw(_NOISE) + text[end:]
    loaded = load_settings("config.toml", read=lambda path: text.encode())
    if isinstance(loaded, Settings):
        return
    assert loaded
    for problem in loaded:
        assert 0 <= problem.line <= text.count("\n") + 1
        assert "\n" not in str(problem)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(content=st.binary(max_size=60))
def test_any_bytes(content: bytes, tmp_path: Path) -> None:
    loaded = load_settings(str(tmp_path / "config.toml"), read=lambda path: content)
    assert isinstance(loaded, Settings) or loaded
