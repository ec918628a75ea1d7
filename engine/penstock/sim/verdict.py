"""What must hold at the end of a simulation, judged from the ledger alone."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.mail.envelope import id_number, id_text
from penstock.policy.rate import Rate
from penstock.sim.ledger import Accepted, Copy, Ledger, Life

_ROUNDING_S = 1e-6
_COMMIT_S = 30.0  # age counts from the last byte, the 250 came after a slow commit


@dataclass(frozen=True, slots=True)
class Rules:
    """``rates``: by host. ``unknown``: domains that do not exist. ``max_age_s``: after which mail
    may be given up."""

    rates: Mapping[str, Rate]
    unknown: frozenset[str]
    max_age_s: float


def judge(ledger: Ledger, rules: Rules) -> dict[str, int]:
    """Blames the engine in ``ledger.wrong`` for what is not as it must be; returns the explained
    duplicates by reason."""
    for accepted in ledger.accepted.values():
        for address in accepted.recipients:
            _not_lost(ledger, rules, accepted, address)
    for address, reports in ledger.reports.items():
        _told_rightly(ledger, rules, address, [one for one in reports if one.action == "failed"])
    reasons: dict[str, int] = {}
    for key, copies in ledger.copies.items():
        for copy, following in itertools.pairwise(copies):
            reason = _why_again(ledger, key, copy, following)
            if reason:
                reasons[reason] = reasons.get(reason, 0) + 1
    for host, rate in rules.rates.items():
        _rate_kept(ledger, host, sorted(ledger.sendings.get(host, ())), rate)
    return reasons


def _not_lost(ledger: Ledger, rules: Rules, accepted: Accepted, address: str) -> None:
    if address in ledger.copies:
        return
    old = _may_be_given_up(ledger, rules, accepted, ledger.now())
    given_up = address in ledger.refusals or address.rpartition("@")[2] in rules.unknown or old
    told = any(one.action == "failed" for one in ledger.reports.get(address, ()))
    if not given_up:
        ledger.blame(f"{address} of {accepted.tag} was acknowledged and is lost")
    elif accepted.bounces and not told and not old:  # a report, too, may be given up for its age
        ledger.blame(f"{address} of {accepted.tag} was given up and nobody was told")


def _told_rightly(ledger: Ledger, rules: Rules, address: str, reports: list[object]) -> None:
    """A failure that nobody caused."""
    if not reports or address in ledger.refusals:
        return
    if address.rpartition("@")[2] in rules.unknown:
        return
    accepted = next((one for one in ledger.accepted.values() if address in one.recipients), None)
    told = min(one.at for one in ledger.reports[address] if one.action == "failed")
    if accepted is not None and not _may_be_given_up(ledger, rules, accepted, told + _COMMIT_S):
        ledger.blame(f"{address} was reported as failed; nobody refused it")


def _may_be_given_up(ledger: Ledger, rules: Rules, accepted: Accepted, at: float) -> bool:
    """For its age. Where clocks were set, the engine's own follows by a tenth of each second; and a
    start takes the clock as it finds it, so that mail of before is older by what they differ."""
    if not ledger.jumps:
        return at - accepted.at >= rules.max_age_s
    restarted = any(accepted.at <= life.at <= at for life in ledger.lives.values())
    return restarted or at - accepted.at >= 0.9 * rules.max_age_s


def _why_again(ledger: Ledger, key: str, copy: Copy, following: Copy) -> str:
    """The reason why ``following`` came although ``copy`` had been taken; blames where there is
    none."""
    if copy.doubt:
        return f"peer {copy.doubt}"
    life = ledger.lives.get(copy.life)
    same = following.life == copy.life
    if life is None or (same and copy.confirmed is not None):
        ledger.blame(f"{key} was delivered again, although the engine had the 250 for it")
        return ""
    closed_at = copy.wire.closed_at
    # deferred, since it may have been delivered: no longer under way when that life ended
    deferred = copy.confirmed is None and closed_at is not None and closed_at < life.until
    if same or deferred:
        return "reply lost with its connection, or too late"
    if copy.confirmed is not None and life.synced_from > copy.confirmed:
        ledger.blame(
            f"{key} came again after the {life.end}; its settlement must have been on disk"
        )
        return ""
    if life.end == "kill" and not _named(life, key, copy):
        ledger.blame(f"{key} came again after a kill; the next start did not name it")
        return ""
    if copy.confirmed is not None:
        return f"settlement not on disk at a {life.end}"
    return f"in flight at a {life.end}"


def _named(life: Life, key: str, copy: Copy) -> bool:
    names = life.named
    if names is None or life.forgotten or copy.id == "?":
        return True  # there was no next start
    local = key.partition("@")[0]
    index = 0 if key.startswith("report ") else int(local.rpartition(".")[2])
    return id_text(id_number(copy.id) + index) in names


def _rate_kept(ledger: Ledger, host: str, times: list[float], rate: Rate) -> None:
    allowed = rate.count + rate.burst - 1
    for first, last in zip(times, times[allowed:], strict=False):
        if last - first < rate.period_s - _ROUNDING_S:
            took_s = last - first
            ledger.blame(
                f"{host} got more than {allowed} messages in {rate.period_s:g} s: "
                f"{took_s:.3f} s from {first:.3f}"
            )
            return
