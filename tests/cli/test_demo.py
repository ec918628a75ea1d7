"""The demo in its parts: the stage, the mail, the screen, the sum; the daemon is a stand-in."""

from __future__ import annotations

import asyncio
import email.policy
import io
import itertools
import json
import os
import shlex
import stat
import sys
import textwrap

import pytest
from rich.console import Console

from penstock import cli_demo, cli_demo_show, cli_demo_stage
from penstock.cli_common import CommandError
from penstock.cli_demo_show import Progress, Screen
from penstock.cli_demo_stage import DOMAINS, Daemon, build_stage, entries_in_spool, world_options
from penstock.cli_demo_tally import Row, Tally, reply_text, tally
from penstock.events.metrics import Registry
from penstock.settings.check import check
from penstock.settings.loader import load_policy_directory, load_settings
from penstock.sim.inject import Injection, InjectionFailed, inject
from penstock.sim.resolver import SandboxResolver
from penstock.sim.world import WorldConfig, running_world


def line(id_: str, kind: str, code: int = 250, reply: str = "OK", enhanced: str = "") -> str:
    fields = {"event": "attempt", "id": id_, "kind": kind, "code": code, "reply": reply}
    return json.dumps({**fields, "enhanced": enhanced})


def summed(log: list[str], journal: list[str], in_spool: int) -> Tally:
    return tally(
        {"gmail.com": "gmail", "ya.ru": "yandex"},
        {"<1@x>": "a1", "<2@x>": "a2", "<3@x>": "a3", "<4@x>": "a4"},
        {"<1@x>": "gmail.com", "<2@x>": "gmail.com", "<3@x>": "ya.ru", "<4@x>": "ya.ru"},
        log,
        journal,
        in_spool,
    )


def test_a_sum_that_adds_up():
    log = [
        "not a record",
        line("a1", "delivered"),
        line("a2", "bounced", 550, "no such user u2@gmail.com 17ab3c-4d", "5.1.1"),
        line("a3", "deferred", 451, "later 99aa77bb"),
        line("a3", "deferred", 451, "later 88cc55dd"),
        line("a3", "delivered"),
        line("a4", "deferred", 452, "full"),
        line("zz", "delivered"),
    ]
    journal = ["gmail\ts\t<1@x>\tu1@gmail.com", "yandex\ts\t<3@x>\tu3@ya.ru"]
    result = summed(log, journal, in_spool=1)
    assert result.rows["gmail"].delivered == result.rows["gmail"].bounced == 1
    assert result.rows["gmail"].replies == {"550 5.1.1 no such user … …": 1}
    yandex = result.rows["yandex"]
    assert (yandex.accepted, yandex.delivered, yandex.put_off, yandex.waiting) == (2, 1, 3, 1)
    assert yandex.replies == {"451 later …": 2, "452 full": 1}
    assert (result.total.accepted, result.total.waiting) == (4, 1)
    assert (result.lost, result.twice, result.unacknowledged) == (0, 0, 0)


def test_a_loss_is_seen():
    result = summed([line("a1", "delivered")], ["gmail\ts\t<1@x>\tu1@gmail.com"], in_spool=1)
    assert (result.lost, result.unacknowledged) == (2, 0)


def test_what_no_provider_took_is_lost_whatever_the_daemon_says():
    result = summed([line("a1", "delivered")], [], in_spool=3)
    assert (result.lost, result.not_taken) == (1, 1)


def test_what_was_kept_without_a_250_is_no_loss():
    result = summed([], [], in_spool=6)
    assert (result.lost, result.unacknowledged) == (0, 2)
    assert "2 more are in it whose 250 nobody waited for" in result_text(result)


def test_what_was_delivered_twice_counts_once_and_is_told():
    log = [line("a1", "delivered"), line("a1", "delivered")]
    once, twice = "gmail\ts\t<1@x>\tu@g", "gmail\ts\t<1@x>\tu@g\tu@g"
    for journal in ([once, once], [twice]):
        result = summed(log, journal, in_spool=3)
        assert (result.total.delivered, result.lost, result.twice) == (1, 0, 1)


def test_replies_that_differ_in_ids_only_are_one():
    texts = {
        reply_text({"code": "421", "enhanced": "4.7.0", "reply": reply})
        for reply in (
            "[192.0.2.1] <a@b> too fast 1a2b3c - gsmtp",
            "[::1] <c@d> too fast 9z8y7 - gsmtp",
        )
    }
    assert texts == {"421 4.7.0 … … too fast … - gsmtp"}


def test_the_stage_is_valid_and_private(tmp_path):
    stage = build_stage(tmp_path, 10_000)
    assert check(str(stage.config)) == []
    settings = load_settings(str(stage.config))
    assert settings.delivery == "sandbox"
    assert settings.relay.dsn == "none"
    assert settings.control == stage.control
    assert stage.smtp_port != stage.http_port
    assert stat.S_IMODE((tmp_path / "demo.pem").stat().st_mode) == 0o600
    policies = load_policy_directory(settings.policies)
    limits = policies.limits("mail.ru", "mxs.mail.ru", "mail.ru")
    assert str(limits.message_rate).startswith("125/s")
    assert limits.retry_initial_s == 3.0


async def test_the_demo_s_policies_know_the_demo_s_providers(tmp_path):
    stage = build_stage(tmp_path, 100)
    policies = load_policy_directory(load_settings(str(stage.config)).policies)
    async with running_world(WorldConfig(tls=False)) as world:
        resolver = SandboxResolver(world.names)
        for provider, domain in DOMAINS.items():
            hosts = [host.name for host in resolver.hosts(domain)]
            assert policies.provider_of("somewhere.example", hosts) == provider


def test_the_providers_are_told_their_limits(tmp_path, monkeypatch):
    from penstock.sim import __main__ as sim

    stage = build_stage(tmp_path, 100)
    monkeypatch.setenv("PENSTOCK_SIM", world_options(stage, 100))
    options = sim._options([])
    assert options.journal == str(tmp_path / "journal")
    assert options.changes["yandex"]["grey_share"] == 0.1
    assert set(options.changes) == set(DOMAINS)


def test_the_mail_is_mail():
    mails = list(cli_demo.demo_mails(10))
    assert [mail.recipients[0].rpartition("@")[2] for mail in mails[:5]] == list(DOMAINS.values())
    assert len({mail.message_id for mail in mails}) == 10
    for mail in mails:
        assert 3800 < len(mail.content) < 4400
        assert b"\n." not in mail.content
        assert b"\n" not in mail.content.replace(b"\r\n", b"")
        message = email.message_from_bytes(mail.content, policy=email.policy.default)
        assert message["Message-ID"] == mail.message_id
        assert message["To"] == mail.recipients[0]


async def test_the_mail_reaches_the_providers_and_the_sum_agrees(tmp_path):
    """The injector straight to the fake providers: what they take is what it was promised."""
    stage = build_stage(tmp_path, 50)
    journal = []
    async with running_world(WorldConfig(patient=True), on_message=journal.append) as world:
        injection = Injection()
        mails = list(cli_demo.demo_mails(50))
        for provider, domain in DOMAINS.items():
            mine = iter([mail for mail in mails if mail.recipients[0].endswith("@" + domain)])
            port = world.providers[provider].port
            await inject("127.0.0.1", port, mine, sessions=2, injection=injection)
    ids = {message_id: f"a{number}" for number, message_id in enumerate(injection.acknowledged)}
    injection.acknowledged.update(ids)
    stage.log.write_text("\n".join(line(id_, "delivered") for id_ in ids.values()))
    lines = []
    for message in journal:
        content = email.message_from_bytes(message.content)
        fields = (message.provider, message.sender, content["Message-ID"], *message.recipients)
        lines.append("\t".join(fields))
    stage.journal.write_text("\n".join(lines))
    result = cli_demo._sum_up(stage, injection)
    assert [row.delivered for row in result.rows.values()] == [10] * 5
    assert (result.lost, result.twice, entries_in_spool(stage)) == (0, 0, 0)


def screen(**settings) -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, highlight=False, width=120, **settings)
    return Screen(list(DOMAINS), 100, console), out


def test_plain_lines_where_there_is_no_terminal():
    plain, out = screen()
    with plain.moving():
        for tenths in range(50):
            plain.show(Progress(tenths / 10, {"gmail": tenths}, {"gmail": 2, "yahoo": 1}, {}, {}))
    lines = out.getvalue().splitlines()
    assert len(lines) == 3  # at 0, 2 and 4 seconds
    assert lines[1] == "  2.0 s  accepted 20  delivered 3  bounced 0  put off 0 times"


def test_a_moving_table_where_there_is_one():
    moving, out = screen(force_terminal=True, color_system=None)
    with moving.moving():
        moving.show(Progress(1.5, {"gmail": 20}, {"gmail": 15}, {"yandex": 3}, {"gmail": 5}))
    text = out.getvalue()
    assert "1.5 s" in text
    assert "━" * 30 in text
    assert "yandex" in text


def result_text(result: Tally) -> str:
    out = io.StringIO()
    cli_demo_show.show_result(Console(file=out, width=120, highlight=False), result, 20.4)
    return out.getvalue()


def test_the_result_says_the_sum():
    row = Row(accepted=10, delivered=7, bounced=2, put_off=4)
    row.replies["451 4.7.1 [bold]later[/bold]"] = 4
    text = result_text(Tally({"gmail": row}, in_spool=1))
    assert "10 accepted = 7 delivered + 2 bounced + 1 still deferred, in 20 s" in text
    assert "none lost" in text
    assert "4  gmail       451 4.7.1 [bold]later[/bold]" in text
    assert "twice" not in text


def test_the_result_says_a_loss():
    row = Row(accepted=10, delivered=7)
    text = result_text(Tally({"gmail": row}, in_spool=1, not_taken=1, twice=2))
    assert "3 lost: the spool holds 1, and 1 called delivered were taken by nobody" in text
    assert "2 delivered twice" in text


def test_what_to_try_next_can_be_pasted(monkeypatch, here):
    out = io.StringIO()
    console = Console(file=out, width=60)
    monkeypatch.setattr(sys, "argv", ["/opt/my tools/penstock"])
    cli_demo_show.show_next(console, "a b.toml", "[::1]:2525", "127.0.0.1:8025")
    commands = [line.strip() for line in out.getvalue().splitlines() if line.startswith("  ")]
    words = [shlex.split(one) for one in commands if not one.startswith("#")]
    assert ["/opt/my tools/penstock", "run", "--config", "a b.toml"] in words
    assert ["curl", "-s", "http://127.0.0.1:8025/metrics"] in words
    (code,) = (one[2] for one in words if one[1] == "-c")
    compile(code, "<next>", "exec")
    assert "SMTP('::1', 2525)" in code
    monkeypatch.setattr(sys, "argv", ["/x/penstock/__main__.py"])
    assert cli_demo_show._own_name().endswith(" -m penstock")


def test_the_addresses_are_those_of_the_settings(here):
    assert cli_demo._addresses("config.toml") == ("127.0.0.1:2525", "127.0.0.1:8025")
    (here / "config.toml").write_text(
        '[[smtp]]\nlisten = "127.0.0.2:26"\n[http]\nlisten = "127.0.0.2:81"\n'
    )
    assert cli_demo._addresses("config.toml") == ("127.0.0.2:26", "127.0.0.2:81")
    assert cli_demo._addresses("no.toml") == ("127.0.0.1:2525", "127.0.0.1:8025")


class Answers:
    """Stands in for the daemon's control socket: the queue empties from one look to the next."""

    def __init__(self, entries: list[int]) -> None:
        self.entries = iter(entries)
        self.registry = Registry()

    async def ask(self, method: str) -> dict:
        assert method == "metrics"
        entries = next(self.entries)
        if entries < 0:
            raise ConnectionResetError("gone for a moment")
        self.registry.gauge("penstock_queue_entries").set(entries)
        return {"0": self.registry.snapshot()}


def later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def done(result: Injection) -> Injection:
    return result


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(cli_demo, "POLL_S", 0.001)


@pytest.mark.usefixtures("_quick")
async def test_it_ends_when_the_queue_is_empty():
    plain, _ = screen()
    answers = Answers([3, -1, 1, 0, 99])
    injecting = asyncio.ensure_future(done(Injection()))
    await cli_demo._watch(answers, plain, Injection(), injecting, later(30))
    assert next(answers.entries) == 99


@pytest.mark.usefixtures("_quick")
async def test_it_ends_when_nothing_moves(monkeypatch):
    monkeypatch.setattr(cli_demo, "QUIET_S", 0.02)
    plain, _ = screen()
    injecting = asyncio.ensure_future(done(Injection()))
    end = later(30)
    await cli_demo._watch(Answers([5] * 100_000), plain, Injection(), injecting, end)
    assert later(0) < end - 15, "it waited for its whole time"


@pytest.mark.usefixtures("_quick")
async def test_it_ends_when_its_time_is_over():
    plain, _ = screen()
    injecting = asyncio.get_running_loop().create_future()
    end = later(0.05)
    await cli_demo._watch(Answers([5] * 10_000), plain, Injection(), injecting, end)
    assert later(0) >= end
    assert not injecting.done()
    injecting.cancel()


FAKE_PACKAGE = """\
    import json, os, signal, socket, struct, sys, tomllib
    import msgpack

    assert sys.argv[1:3] == ["run", "--config"]
    settings = tomllib.load(open(sys.argv[3], "rb"))
    mode = os.environ["FAKE"]
    if mode == "broken":
        print("cannot listen on 127.0.0.1:1: no", file=sys.stderr)
        sys.exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "stubborn" else lambda *_: sys.exit(0))
    server = socket.socket(socket.AF_UNIX)
    server.bind(settings["control"])
    server.listen()
    asked = 0
    while True:
        connection, _ = server.accept()
        with connection:
            data = connection.recv(65536)
            asked += 1
            ready = asked > 1
            frame = msgpack.packb([1, 1, {"ready": ready}])
            connection.sendall(struct.pack(">I", len(frame)) + frame)
"""


@pytest.fixture
def fake_daemon(tmp_path):
    """The environment in which ``python -m penstock`` is a few lines of a test."""
    package = tmp_path / "fake" / "penstock"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text(textwrap.dedent(FAKE_PACKAGE))
    stage_root = tmp_path / "s"
    stage_root.mkdir()
    stage = build_stage(stage_root, 10)
    return lambda mode: Daemon(stage, {"PYTHONPATH": str(tmp_path / "fake"), "FAKE": mode})


async def test_the_daemon_is_waited_for_and_stopped(fake_daemon):
    async with fake_daemon("good") as daemon:
        await daemon.ready()
        assert (await daemon.ask("status"))["ready"]
    assert daemon.exit_code == 0
    await daemon.stop()


async def test_a_daemon_that_does_not_start_says_why(fake_daemon):
    async with fake_daemon("broken") as daemon:
        with pytest.raises(CommandError, match=r"cannot listen on 127\.0\.0\.1:1"):
            await daemon.ready()
    assert daemon.exit_code == 1


async def test_a_daemon_that_does_not_stop_is_stopped(fake_daemon, monkeypatch):
    monkeypatch.setattr(cli_demo_stage, "STOP_S", 0.1)
    async with fake_daemon("stubborn") as daemon:
        await daemon.ready()
    assert daemon.exit_code == -9


@pytest.fixture
def played(monkeypatch, here):
    """``run_demo`` with a play of the test's own instead of a daemon."""

    def run(play) -> int:
        monkeypatch.setattr(cli_demo, "_play", play)
        return cli_demo.run_demo(10, "config.toml", 5.0)

    return run


def test_a_demo_in_which_nothing_was_accepted_has_failed(played, capsys):
    async def play(stage, screen, messages, time_s):
        injection = Injection()
        injection.refusals["452 4.3.1 no space"] += 10
        return injection

    assert played(play) == 1
    out = capsys.readouterr().out
    assert "10 not accepted: 452 4.3.1 no space" in out
    assert "what to try next" in out


def test_a_demo_that_went_well(played, capsys):
    async def play(stage, screen, messages, time_s):
        injection = Injection()
        for number, mail in enumerate(cli_demo.demo_mails(messages)):
            injection.acknowledged[mail.message_id] = f"a{number}"
            with stage.log.open("a") as log, stage.journal.open("a") as journal:
                log.write(line(f"a{number}", "delivered") + "\n")
                journal.write(f"p\ts\t{mail.message_id}\t{mail.recipients[0]}\n")
        return injection

    assert played(play) == 0
    assert "10 accepted = 10 delivered + 0 bounced + 0 still deferred" in capsys.readouterr().out


def test_a_demo_that_is_interrupted(played):
    async def play(*_arguments):
        raise KeyboardInterrupt

    assert played(play) == 130


@pytest.fixture
def stopping_daemon(monkeypatch):
    class Nothing:
        exit_code = 0

        def __init__(self, *_arguments) -> None:
            pass

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_exc) -> None:
            pass

        async def ready(self) -> None:
            pass

        async def ask(self, method: str) -> dict:
            registry = Registry()
            registry.gauge("penstock_queue_entries").set(0)
            return {"0": registry.snapshot()}

    monkeypatch.setattr(cli_demo, "Daemon", Nothing)
    return Nothing


@pytest.mark.usefixtures("_quick", "stopping_daemon")
@pytest.mark.parametrize("error", [InjectionFailed("421 busy"), ConnectionRefusedError("refused")])
async def test_mail_that_cannot_be_handed_over_ends_the_play(error, monkeypatch, tmp_path):
    async def fail(*_arguments, **_options):
        raise ExceptionGroup("all sessions", [error])

    monkeypatch.setattr(cli_demo, "inject", fail)
    with pytest.raises(CommandError, match=r"mail could not be handed over: (421 busy|refused)"):
        await cli_demo._play(build_stage(tmp_path, 10), screen()[0], 10, 30.0)


@pytest.mark.usefixtures("_quick")
@pytest.mark.parametrize("exit_code", [0, 3])
async def test_the_daemon_s_own_end_counts(exit_code, monkeypatch, tmp_path, stopping_daemon):
    monkeypatch.setattr(stopping_daemon, "exit_code", exit_code)

    async def take(_host, _port, mails, *, sessions, injection):
        injection.acknowledged.update((mail.message_id, "x") for mail in itertools.islice(mails, 4))

    monkeypatch.setattr(cli_demo, "inject", take)
    play = cli_demo._play(build_stage(tmp_path, 10), screen()[0], 10, 30.0)
    if exit_code:
        with pytest.raises(CommandError, match="the daemon ended with 3"):
            await play
    else:
        assert len((await play).acknowledged) == 4


def test_the_command_hands_everything_over(penstock, monkeypatch):
    seen = []
    monkeypatch.setattr("penstock.cli_demo.run_demo", lambda *given: seen.append(given) or 0)
    assert penstock("demo", "--messages", "7", "--time", "9").exit_code == 0
    assert penstock("demo").exit_code == 0
    assert seen == [(7, "config.toml", 9.0), (10_000, "config.toml", 40.0)]
    assert os.path.exists("config.toml")
