"""Accounts and their passwords, as argon2 hashes.

A verification is meant to be slow and large, so it runs in a small pool of threads with a bounded
line before it; the same try from many connections is made once. A good answer is remembered for a
while, as an HMAC under a key that never leaves the process, so that nothing stored gives a password
away. Unknown names are verified against a hash of nothing, which takes as long.

Guessing is slowed per client and per account, and many guesses at once as much as one after the
other: tries under way count as if they had failed. Only a client is refused in the end, since
refusing an account would let anybody lock it; and a client that has logged in to an account before
is not made to wait for what others try there. Slowed tries wait outside of the line for the
threads, so that they take nobody's place in it.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError

from penstock.intake.control import ANYTHING, Permit
from penstock.intake.defaults import Defaults
from penstock.intake.guesses import Guesses
from penstock.intake.networks import client_key
from penstock.smtp.reply import Reply

WRONG = Reply.of(535, "5.7.8 Authentication credentials invalid")
TOO_MANY = Reply.of(454, "4.7.0 Too many failed attempts, try again later")
BUSY = Reply.of(454, "4.7.0 Too many authentications at once, try again later")
# What a failure is counted as.
REASONS = {WRONG: "password", TOO_MANY: "guessing", BUSY: "busy"}
NAME_CHARS = 64  # of an account's name, as a key


@dataclass(frozen=True, slots=True)
class Account:
    """``password`` is an argon2 hash (``$argon2id$...``). Raises ``ValueError`` for another.
    ``tenant`` to ``pool`` count where a message says nothing else; ``permit``: what it may say."""

    name: str
    password: str
    tenant: str = ""
    campaign: str = ""
    class_: str = ""
    pool: str = ""
    permit: Permit = ANYTHING

    def __post_init__(self) -> None:
        try:
            extract_parameters(self.password)
        except InvalidHashError:
            raise ValueError(f"account {self.name!r}: not an argon2 hash") from None

    @property
    def defaults(self) -> Defaults:
        return Defaults(self.tenant, self.campaign, self.class_, self.pool)


@dataclass(frozen=True, slots=True)
class AuthConfig:
    remember_s: float = 60.0  # a good password
    threads: int = 2
    waiting_max: int = 64  # in line for a thread
    tries_max: int = 1024  # under way, with those that are slowed
    tries_per_client_max: int = 8
    delay_s: float = 1.0  # after the first failure; doubles
    delay_max_s: float = 30.0
    forget_s: float = 900.0  # failures, after the last one
    failures_max: int = 20  # of one client, then it is refused unheard
    keys_max: int = 10_000  # clients and accounts with failures; clients known to an account
    trust_s: float = 7 * 86400.0  # a client knows the password since its last good try


class Authenticator:
    """Shared by all listeners of a process. ``clock`` is monotonic."""

    def __init__(
        self,
        accounts: Iterable[Account],
        config: AuthConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config = config or AuthConfig()
        self._clock = clock
        self._sleep = sleep
        self._key = os.urandom(32)
        self._known: dict[str, tuple[bytes, float]] = {}
        self._guesses = Guesses(
            delay_s=config.delay_s,
            delay_max_s=config.delay_max_s,
            forget_s=config.forget_s,
            keys_max=config.keys_max,
        )
        self._threads = ThreadPoolExecutor(config.threads, thread_name_prefix="auth")
        self._running: dict[bytes, asyncio.Task[bool | None]] = {}  # by digest: the same try once
        self._tries: dict[str, int] = {}  # under way, by client and by account
        self._trusted: OrderedDict[tuple[str, str], float] = OrderedDict()  # -> until when
        self._verifying = self._verified = self._failures = 0
        self.replace(accounts)

    def replace(self, accounts: Iterable[Account]) -> None:
        """Other accounts from now on; what was remembered is forgotten."""
        self._accounts = {account.name: account for account in accounts}
        self._known.clear()
        first = next(iter(self._accounts.values()), None)
        hasher = (
            PasswordHasher.from_parameters(extract_parameters(first.password))
            if first
            else PasswordHasher()
        )
        self._nobody = Account("", hasher.hash(os.urandom(16)))

    async def check(self, client: str, login: bytes, password: bytes) -> Account | Reply:
        """The account, or what to tell the client. May take seconds where there were failures."""
        name = login.decode("utf-8", "replace")
        account = self._accounts.get(name)
        digest = hmac.digest(self._key, b"%d:%b%b" % (len(login), login, password), "sha256")
        known, until = self._known.get(name, (b"", 0.0))
        if hmac.compare_digest(known, digest) and account and self._clock() < until:
            return account
        keys = (client_key(client), f"account {name[:NAME_CHARS]}")
        if self._guesses.count(keys[0], self._clock()) >= self._config.failures_max:
            return TOO_MANY
        running = self._running.get(digest)
        if running is None:
            if not self._has_room(keys[0]):
                return BUSY
            delay_s = self._delay(keys)
            stored = (account or self._nobody).password
            for key in keys:
                self._tries[key] = self._tries.get(key, 0) + 1
            running = asyncio.create_task(self._verify(delay_s, stored, password))
            self._running[digest] = running
            running.add_done_callback(lambda _: self._done(digest, keys))
        good = await asyncio.shield(running)
        if good is None:
            return BUSY
        if good and account is not None:
            self._verified += 1
            self._trust(keys)
            if self._accounts.get(name) is account:  # not replaced meanwhile
                self._known[name] = (digest, self._clock() + self._config.remember_s)
            return account
        self._failures += 1
        for key in keys:
            self._guesses.failed(key, self._clock())
        return WRONG

    def _has_room(self, client: str) -> bool:
        return (
            len(self._running) < self._config.tries_max
            and self._tries.get(client, 0) < self._config.tries_per_client_max
        )

    def _delay(self, keys: tuple[str, str]) -> float:
        """What a new try has to wait. Several accounts at once are nothing strange in a client
        without failures; several passwords at once for one account are guesses."""
        client, account = keys
        now, tries = self._clock(), self._tries
        failed = self._guesses.count(client, now)
        delay_s = self._guesses.delay(failed and failed + tries.get(client, 0))
        if now < self._trusted.get(keys, 0.0):
            return delay_s
        failed = self._guesses.count(account, now) + tries.get(account, 0)
        return max(delay_s, self._guesses.delay(failed))

    def _trust(self, keys: tuple[str, str]) -> None:
        self._trusted[keys] = self._clock() + self._config.trust_s
        self._trusted.move_to_end(keys)
        if len(self._trusted) > self._config.keys_max:
            self._trusted.popitem(last=False)

    async def _verify(self, delay_s: float, stored: str, password: bytes) -> bool | None:
        """``None`` where too many are in line."""
        if delay_s:
            await self._sleep(delay_s)
        if self._verifying >= self._config.waiting_max:
            return None
        verify = partial(_matches, stored, password)
        self._verifying += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, verify)
        finally:
            self._verifying -= 1

    def _done(self, digest: bytes, keys: tuple[str, str]) -> None:
        self._running.pop(digest, None)
        for key in keys:
            self._tries[key] -= 1
            if not self._tries[key]:
                del self._tries[key]

    def knows(self, name: str) -> bool:
        return name in self._accounts

    def stats(self) -> dict[str, float]:
        return {
            "auth_accounts": len(self._accounts),
            "auth_remembered": len(self._known),
            "auth_tries": len(self._running),
            "auth_verifying": self._verifying,
            "auth_verified": self._verified,
            "auth_failures": self._failures,
            "auth_slowed_keys": len(self._guesses),
        }

    def close(self) -> None:
        """Give the threads back; tries that wait are given up."""
        for task in self._running.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)


def _matches(stored: str, password: bytes) -> bool:
    try:
        return PasswordHasher().verify(stored, password)
    except Argon2Error:
        return False
