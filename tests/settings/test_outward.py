"""Settings of webhooks, sinks and the page for unsubscribing."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.settings.check import check
from penstock.settings.models import Settings
from penstock.settings.outward_configs import sink_configs, unsubscribe_config, webhooks_config
from penstock.sim.certificate import certificate_pem

HOOK = '[[webhook]]\nname = "shop"\ntenant = "shop"\nsecret_file = "s"\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HOOK + 'url = "http://app.example.com/"', "events would cross the network in the clear"),
        (HOOK + 'url = "https://127.0.0.1/"', "127.0.0.1 is not a public address"),
        (HOOK + 'url = "https://[fd00::1]/"', "fd00::1 is not a public address"),
        (HOOK + 'url = "ftp://x/"', 'expected "https://host/path"'),
        (HOOK + 'url = "https://u:p@x.example/"', "holds no password"),
        (HOOK + 'url = "https://x.example/"\nheaders = ["Host: y"]', "is set by the engine"),
        (HOOK + 'url = "https://x.example/"\nheaders = ["X: a\\nb"]', "expected a header"),
        (HOOK + 'url = "https://x.example/"\nevents = ["reported"]', "reported"),
        (HOOK + 'url = "https://x.example/"\nbatch_bytes_max = "16 MiB"\nqueue_bytes_max = 1048576',
         "less than two batches"),
        ((HOOK + 'url = "https://x.example/"\n') * 2, "stands in line 2 too"),
        ("[webhooks]\nconnections_max = 4", "nothing is left for others"),
        ('[[sink]]\nname="a"\nkind="nats"\nservers=["x"]\nsubject="{host}"',
         "only {tenant} and {type}"),
        ('[[sink]]\nname="a"\nkind="nats"\nservers=["x"]\nuser="u"', "needs a password_file"),
        ('[unsubscribe]\nlisten="127.0.0.1:1"\nkey="k"', "a key needs a certificate"),
        ('[unsubscribe]\nlisten="127.0.0.1:1"\npath="u/"', "expected a path"),
        ('[unsubscribe]\nlisten="127.0.0.1:8025"\n[http]\nlisten="127.0.0.1:8025"', "is taken by"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    problems_of: Callable[[str], list[str]], text: str, problem: str
) -> None:
    found = problems_of(text)
    assert len(found) == 1, found
    assert problem in found[0]


def test_a_library_that_is_missing(
    problems_of: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "aiokafka" else real(name)
    )
    text = '[[sink]]\nname="a"\nkind="{}"\nservers=["x:1"]\n'
    assert problems_of(text.format("nats")) == []
    (problem,) = problems_of(text.format("kafka"))
    assert "pip install 'penstock[kafka]'" in problem


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "cannot be read"),
        ("", "holds no secret"),
        ("whsec_c2hvcnQ=", "holds 5 bytes"),
        ("abc", 'does not begin with "whsec_"'),
        ("# old\nwhsec_!!", "line 2 is not base64"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", ""),
    ],
)
def test_check_reads_the_secrets(tmp_path: Path, content: str | None, problem: str) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "config.toml").write_text(HOOK + 'url = "https://x.example/"\n')
    if content is not None:
        (tmp_path / "s").write_text(content)
    found = [str(one) for one in check(str(tmp_path / "config.toml"))]
    assert len(found) == bool(problem), found
    assert problem in "".join(found)
    assert "c2hvcnQ" not in "".join(found)


def test_check_reads_the_certificate_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "web.pem").write_bytes(certificate_pem(("localhost",)))
    (tmp_path / "web.key").write_text("no key")
    file = tmp_path / "config.toml"
    text = '[unsubscribe]\nlisten = "127.0.0.1:1"\ncertificate = "web.pem"\nkey = "{}"\n'
    file.write_text(text.format("web.pem"))
    assert all(one.warning for one in check(str(file)))
    file.write_text(text.format("web.key"))
    (problem,) = (one for one in check(str(file)) if not one.warning)
    assert "holds no private key" in str(problem)


def test_the_rooms_are_told_what_is_set(settings_of: Callable[[str], Settings]) -> None:
    settings = settings_of(
        HOOK + 'url = "https://x.example/"\nheaders = ["X-A:  b c"]\nevents = ["bounced"]\n'
        '[[sink]]\nname = "a"\nkind = "nats"\nservers = ["nats://h:1"]\n'
        '[unsubscribe]\nlisten = "127.0.0.1:1"\nproxies = ["10.0.0.0/8"]\n'
    )
    endpoint: Any = webhooks_config(settings).endpoints[0]
    assert endpoint.headers == (("X-A", "b c"),)
    assert endpoint.types == {"bounced"}
    assert endpoint.secret_file == "/etc/penstock/s"
    assert sink_configs(settings)[0].servers == ("nats://h:1",)
    page = unsubscribe_config(settings)
    assert page is not None
    assert str(page.proxies[0]) == "10.0.0.0/8"
