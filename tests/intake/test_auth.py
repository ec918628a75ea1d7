"""AUTH: mechanisms, where they are offered, and guessing."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from argon2 import PasswordHasher, extract_parameters

from penstock.events.metrics import Registry
from penstock.events.no_journal import NoJournal
from penstock.intake import auth
from penstock.intake.auth import Account, AuthConfig, Authenticator
from penstock.intake.control import Permit
from penstock.intake.guesses import Guesses
from penstock.smtp.reply import Reply
from penstock.worker.observe import IntakeObserver

Run = Callable[..., Any]
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ANN = Account("ann", HASHER.hash("secret"), tenant="acme")
BOB = Account("bob", HASHER.hash("hunter2"))


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


GOOD = b64("\0ann\0secret")
WRONG = b64("\0ann\0wrong")


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def authenticator(time: Time) -> AsyncIterator[Authenticator]:
    made = Authenticator(
        [ANN, BOB], AuthConfig(failures_max=5), clock=lambda: time.now, sleep=time.sleep
    )
    yield made
    made.close()


async def heard(line: Any, text: str) -> list[str]:
    """Verification runs in a thread, so wait for it by the clock on the wall."""
    line.send(text.encode() + b"\r\n")
    for _ in range(1000):
        said: list[str] = await line.said()
        if said:
            return said
        await asyncio.sleep(0.002)
    raise AssertionError("nothing said")


async def test_plain(connect: Run, authenticator: Authenticator, sink: Any, observer: Any) -> None:
    line = connect(authenticator=authenticator, relay_from=())
    await line.said(1)
    said = await line.ask("EHLO x")
    assert "250-AUTH LOGIN PLAIN" in said
    assert (await heard(line, f"auth plain {GOOD}")) == ["235 2.7.0 Authentication successful"]
    assert (await heard(line, f"AUTH PLAIN {GOOD}")) == ["503 5.5.1 Already authenticated"]
    await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n.")
    envelope, body = sink.messages[0]
    assert (envelope.account, envelope.tenant) == ("ann", "acme")
    assert b"with ESMTPA id" in body
    assert observer.of("auth") == [("auth", "ann", "")]


async def test_what_an_account_leaves_out_is_as_the_listener_says(connect: Run, sink: Any) -> None:
    """A client by its address has the listener's defaults; an account's own win over them."""
    shop = Account("shop", HASHER.hash("x"), campaign="mails", pool="receipts")
    made = Authenticator([shop, ANN])
    said = {"tenant": "house", "campaign": "all", "class_": "triggered", "pool": "news"}
    found = []
    for login in ("", b64("\0shop\0x"), GOOD):
        line = connect(authenticator=made, **said)
        await line.greet()
        if login:
            assert (await heard(line, f"AUTH PLAIN {login}"))[0].startswith("235")
        await line.ask("MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n.")
        one = sink.messages[-1][0]
        found.append((one.account, one.tenant, one.campaign, one.class_, one.pool))
    made.close()
    assert found == [
        ("", "house", "all", "triggered", "news"),
        ("shop", "house", "mails", "triggered", "receipts"),
        ("ann", "acme", "all", "triggered", "news"),
    ]


async def test_what_an_account_may_not_say(connect: Run, sink: Any) -> None:
    ann = Account("ann", ANN.password, permit=Permit(pools=("receipts",)))
    made = Authenticator([ann])
    line = connect(authenticator=made, pools=lambda: ("receipts", "news"))
    await line.greet()
    await heard(line, f"AUTH PLAIN {GOOD}")
    start = "MAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\n"
    said = await line.ask(start + "X-Penstock-Pool: news\n\n.")
    told = '550 5.7.1 X-Penstock-Pool: "news" is not for this account, only receipts'
    assert said[-1] == told
    assert (await line.ask(start + "X-Penstock-Pool: receipts\n\n."))[-1].startswith("250 2.6.0")
    assert [envelope.pool for envelope, _ in sink.messages] == ["receipts"]
    made.close()


async def test_plain_with_a_challenge(connect: Run, authenticator: Authenticator) -> None:
    line = connect(authenticator=authenticator)
    await line.greet()
    assert await heard(line, "AUTH PLAIN") == ["334 "]
    assert (await heard(line, GOOD))[0].startswith("235 2.7.0")
    assert await line.ask("NOOP") == ["250 2.0.0 Ok"]


@pytest.mark.parametrize("bytewise", [False, True])
async def test_login(connect: Run, authenticator: Authenticator, bytewise: bool) -> None:
    line = connect(authenticator=authenticator)
    await line.greet()
    line.send(b"AUTH LOGIN\r\n", bytewise)
    assert (await line.said(1))[0].startswith("334 ")
    line.send(b64("bob").encode() + b"\r\n", bytewise)
    assert (await line.said(1))[0].startswith("334 ")
    assert (await heard(line, b64("hunter2")))[0].startswith("235 2.7.0")


@pytest.mark.parametrize(
    ("commands", "replies"),
    [
        (["AUTH"], ["501 5.5.4"]),
        (["AUTH CRAM-MD5"], ["504 5.5.4"]),
        (["AUTH PLAIN a b"], ["501 5.5.4"]),
        (["AUTH PLAIN %%%"], ["501 5.5.2"]),
        (["AUTH PLAIN " + b64("no nul")], ["501 5.5.2"]),
        (["AUTH PLAIN", "*"], ["334 ", "501 5.7.0"]),
        (["AUTH LOGIN", "%%%"], ["334 ", "501 5.5.2"]),
        (["AUTH PLAIN " + WRONG], ["535 5.7.8"]),
        (["AUTH PLAIN " + b64("\0nobody\0x")], ["535 5.7.8"]),
        (["AUTH LOGIN", "x" * 20_000], ["334 ", "500 5.5.2"]),
        (["MAIL FROM:<a@b>", "AUTH PLAIN " + GOOD], ["250 2.1.0", "503 5.5.1"]),
    ],
)
async def test_refusals(
    connect: Run, authenticator: Authenticator, commands: list[str], replies: list[str]
) -> None:
    line = connect(authenticator=authenticator)
    await line.greet()
    for command, reply in zip(commands, replies, strict=True):
        said = await heard(line, command)
        assert len(said) == 1
        assert said[0].startswith(reply)
    assert await line.ask("NOOP") == ["250 2.0.0 Ok"]


async def test_not_offered_in_the_clear(connect: Run, authenticator: Authenticator) -> None:
    line = connect("192.0.2.1", authenticator=authenticator)
    await line.said(1)
    said = await line.ask("EHLO x")
    assert not any("AUTH" in row for row in said)
    assert (await line.ask(f"AUTH PLAIN {GOOD}"))[0].startswith("538 5.7.11")


async def test_needs_ehlo(connect: Run, authenticator: Authenticator) -> None:
    line = connect(authenticator=authenticator)
    await line.said(1)
    assert (await line.ask(f"AUTH PLAIN {GOOD}"))[0].startswith("503 5.5.1")
    await line.ask("HELO x")
    assert (await heard(line, f"AUTH PLAIN {GOOD}"))[0].startswith("500 5.5.1")


async def test_a_client_that_leaves_amid_a_challenge(
    connect: Run, authenticator: Authenticator
) -> None:
    line = connect(authenticator=authenticator)
    await line.greet()
    await heard(line, "AUTH LOGIN")
    line.session.connection_lost(None)
    await line.said()
    assert line.session._task is None or line.session._task.cancelled()


async def test_guessing_is_slowed_and_then_refused(
    authenticator: Authenticator, time: Time
) -> None:
    for _ in range(5):
        verdict = await authenticator.check("192.0.2.1", b"ann", b"wrong")
        assert isinstance(verdict, Reply)
        assert verdict.enhanced == "5.7.8"
    assert time.slept == [1.0, 2.0, 4.0, 8.0]
    verdict = await authenticator.check("192.0.2.1", b"bob", b"hunter2")
    assert str(verdict).startswith("454 4.7.0")
    # another client is slowed for this account, not refused; for others not even slowed
    assert await authenticator.check("192.0.2.2", b"ann", b"secret") is ANN
    assert time.slept[-1] == 16.0
    assert await authenticator.check("192.0.2.3", b"bob", b"hunter2") is BOB
    assert len(time.slept) == 5
    time.now += 1000.0
    assert await authenticator.check("192.0.2.1", b"bob", b"hunter2") is BOB
    assert authenticator.stats()["auth_failures"] == 5


async def test_a_good_password_is_remembered_for_a_while(
    authenticator: Authenticator, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await authenticator.check("192.0.2.1", b"ann", b"secret") is ANN
    assert authenticator.stats()["auth_verified"] == 1
    assert await authenticator.check("192.0.2.1", b"ann", b"secret") is ANN
    assert authenticator.stats()["auth_verified"] == 1
    assert isinstance(await authenticator.check("192.0.2.1", b"ann", b"secre"), Reply)
    time.now += 60.0
    assert await authenticator.check("192.0.2.1", b"ann", b"secret") is ANN
    assert authenticator.stats()["auth_verified"] == 2
    authenticator.replace([BOB])
    assert isinstance(await authenticator.check("192.0.2.9", b"ann", b"secret"), Reply)
    assert not authenticator.knows("ann")


async def test_the_same_try_is_made_once(authenticator: Authenticator) -> None:
    tries = [authenticator.check("192.0.2.1", b"ann", b"secret") for _ in range(20)]
    assert await asyncio.gather(*tries) == [ANN] * 20
    different = [authenticator.check("192.0.2.1", b"ann", b"%d" % i) for i in range(20)]
    verdicts = await asyncio.gather(*different)
    assert sum(str(verdict).startswith("454 4.7.0") for verdict in verdicts) == 12


async def test_no_accounts_at_all() -> None:
    empty = Authenticator([], clock=lambda: 0.0)
    assert isinstance(await empty.check("::1", b"", b""), Reply)
    empty.close()


def test_only_argon2_is_a_password() -> None:
    with pytest.raises(ValueError, match="carl"):
        Account("carl", "plain text")


def test_the_table_of_failures_is_bounded() -> None:
    guesses = Guesses(delay_s=1.0, delay_max_s=5.0, forget_s=100.0, keys_max=2)
    for key in ("a", "b", "a", "a", "a", "c"):
        guesses.failed(key, 0.0)
    assert len(guesses) == 2
    assert guesses.delay(guesses.count("b", 0.0)) == 0.0
    assert guesses.delay(guesses.count("a", 0.0)) == 5.0
    assert guesses.delay(guesses.count("c", 99.0)) == 1.0
    assert guesses.delay(guesses.count("c", 100.0)) == 0.0


async def test_a_check_that_breaks(
    connect: Run, observer: Any, authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(client: str, login: bytes, password: bytes) -> Account:
        raise RuntimeError("bug")

    monkeypatch.setattr(authenticator, "check", broken)
    line = connect(authenticator=authenticator)
    await line.greet()
    assert (await heard(line, f"AUTH PLAIN {GOOD}"))[0].startswith("451 4.3.0")
    assert observer.of("error") == [("error", "RuntimeError", "auth")]
    assert await line.ask("NOOP") == ["250 2.0.0 Ok"]


async def tick() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Held(Time):
    """Sleepers wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.gate.wait()


async def test_many_guesses_at_once_are_slowed_as_much_as_one_after_the_other() -> None:
    """From as many clients as there are guesses; each may take the whole of the longest delay."""
    held = Held()
    guarded = Authenticator([ANN], AuthConfig(), clock=lambda: held.now, sleep=held.sleep)
    tries = [
        asyncio.create_task(guarded.check(f"192.0.2.{i}", b"ann", b"%d" % i)) for i in range(8)
    ]
    await tick()
    assert held.slept == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    held.gate.set()
    verdicts = await asyncio.gather(*tries)
    assert {str(verdict) for verdict in verdicts} == {
        "535 5.7.8 Authentication credentials invalid"
    }
    assert guarded.stats()["auth_tries"] == 0
    assert guarded._tries == {}
    guarded.close()


async def test_a_client_with_several_accounts_is_slowed_only_after_a_failure() -> None:
    held = Held()
    guarded = Authenticator([ANN, BOB], AuthConfig(), clock=lambda: held.now, sleep=held.sleep)
    both = guarded.check("192.0.2.1", b"ann", b"secret"), guarded.check("192.0.2.1", b"bob", b"x")
    assert (await asyncio.gather(*both))[0] is ANN
    assert held.slept == []
    held.gate.set()
    await guarded.check("192.0.2.1", b"carl", b"x")
    assert held.slept == [1.0]
    guarded.close()


async def test_slowed_guesses_take_nobodys_place_in_line() -> None:
    held = Held()
    config = AuthConfig(waiting_max=1, tries_per_client_max=3)
    guarded = Authenticator([ANN, BOB], config, clock=lambda: held.now, sleep=held.sleep)
    await guarded.check("198.51.100.1", b"ann", b"x")
    guesses = [
        asyncio.create_task(guarded.check(f"192.0.2.{i % 10}", b"ann", b"%d" % i))
        for i in range(50)
    ]
    await tick()
    assert len(held.slept) == 30  # three of each client; the others were told to come again
    assert sum(guess.done() for guess in guesses) == 20
    assert await guarded.check("198.51.100.2", b"bob", b"hunter2") is BOB
    held.gate.set()
    verdicts = await asyncio.gather(*guesses)
    assert all(isinstance(verdict, Reply) for verdict in verdicts)
    guarded.close()


async def test_who_knows_the_password_does_not_wait_for_the_guesses_of_others(
    authenticator: Authenticator, time: Time
) -> None:
    assert await authenticator.check("198.51.100.1", b"ann", b"secret") is ANN
    for i in range(9):
        await authenticator.check(f"192.0.2.{i}", b"ann", b"wrong")
    time.slept.clear()
    time.now += 120.0  # what was remembered is forgotten
    assert await authenticator.check("198.51.100.1", b"ann", b"secret") is ANN
    assert time.slept == []
    time.now += 120.0
    assert await authenticator.check("198.51.100.2", b"ann", b"secret") is ANN
    assert time.slept == [30.0]
    await authenticator.check("198.51.100.1", b"ann", b"wrong")
    await authenticator.check("198.51.100.1", b"ann", b"wrong")
    assert time.slept == [30.0, 1.0]  # its own failures count


async def test_what_is_kept_of_guesses_is_bounded(time: Time) -> None:
    config = AuthConfig(keys_max=4)
    guarded = Authenticator([ANN], config, clock=lambda: time.now, sleep=time.sleep)
    for i in range(10):
        await guarded.check(f"192.0.2.{i}", b"ann", b"secret")
        await guarded.check(f"198.51.100.{i}", b"x" * 300 + b"%d" % i, b"wrong")
        time.now += 100.0
    assert guarded.stats()["auth_slowed_keys"] == 4
    assert len(guarded._trusted) == 4
    assert all(len(key) < 100 for key in guarded._guesses._failures)
    guarded.close()


async def test_an_unknown_name_is_verified_like_a_known_one(
    authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes as long: the same work with the same parameters."""
    tried: list[str] = []
    genuine = auth._matches

    def matches(stored: str, password: bytes) -> bool:
        tried.append(stored)
        return genuine(stored, password)

    monkeypatch.setattr(auth, "_matches", matches)
    for login in (b"ann", b"nobody", b"\xff", b""):
        assert str(await authenticator.check("192.0.2.1", login, b"x")) == str(auth.WRONG)
    assert tried[0] == ANN.password
    assert len(tried) == 4
    cost = extract_parameters(ANN.password)
    assert all(extract_parameters(stored) == cost for stored in tried)


async def test_failures_are_counted_by_reason(connect: Run, time: Time) -> None:
    registry = Registry()
    observer = IntakeObserver(registry, NoJournal(), 100, lambda: 0.0)
    config = AuthConfig(failures_max=2)
    guarded = Authenticator([ANN], config, clock=lambda: time.now, sleep=time.sleep)
    line = connect(authenticator=guarded)
    line.shared.observer = observer
    await line.greet()
    for _ in range(3):
        await heard(line, f"AUTH PLAIN {WRONG}")
    assert (await heard(line, f"AUTH PLAIN {GOOD}"))[0].startswith("454 4.7.0")
    rows = registry.snapshot()["series"]["penstock_auth_failures_total"]
    assert {tuple(labels): count for labels, count in rows} == {("password",): 2, ("guessing",): 2}
    guarded.close()
