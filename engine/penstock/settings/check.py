"""Everything that is wrong with a configuration: what ``penstock check`` shows.

The config file, the policies that it leads to, and the key files that it names, all in one go: a
mistake in one hides none in another. On the machine that is to send, the addresses of the sources
are looked at too; a daemon does without that, since an address may come up late or move away.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from penstock.policy.egress import Source
from penstock.policy.policies import Policies
from penstock.policy.problem import Problem, in_order, quoted, suggestion
from penstock.settings import feedback_check, keys, outward, pools, tls_check
from penstock.settings.files import Read, read_file
from penstock.settings.loader import load_policy_directory, read_settings


@dataclass(frozen=True, slots=True)
class Machine:
    """``missing`` names those of some addresses that cannot be bound here; ``addresses`` are those
    that can, to propose one; ``resolvers``: those of the system."""

    missing: Callable[[Sequence[str]], Collection[str]]
    addresses: Collection[str]
    resolvers: Sequence[str] = ()


def check(path: str, read: Read = read_file, machine: Machine | None = None) -> list[Problem]:
    """The problems of the config file ``path`` and of all files that it names, in order; with
    ``machine`` also what could not be done on it."""
    checked = read_settings(path, read)
    if checked.value is not None:
        keys.check(checked, read)
        outward.check_files(checked, read)
        feedback_check.check_files(checked, read)
        tls_check.check_reports(checked)
        if machine is not None:
            tls_check.check_resolvers(checked, machine.resolvers)
        loaded = load_policy_directory(checked.value.policies, read)
        if isinstance(loaded, list):
            checked.problems += loaded
        else:
            pools.check(checked, loaded.pools)
            feedback_check.check_tenants(checked, loaded)
            if machine is not None and checked.value.delivery == "live":
                checked.problems += _absent(loaded, machine)
    return in_order(checked.problems)


def _absent(policies: Policies, machine: Machine) -> Iterator[Problem]:
    """A problem for each address of a source that is not of this machine."""
    for source in policies.sources.values():
        if source.proxy is not None:
            continue
        for field, address in (("ipv4", source.ipv4), ("ipv6", source.ipv6)):
            if address and machine.missing([address]):
                yield _not_here(source, field, address, machine.addresses)


def _not_here(source: Source, field: str, address: str, known: Collection[str]) -> Problem:
    where = source.where(field)
    alike = [one for one in known if (":" in one) == (":" in address)]
    return Problem(
        where.file,
        where.line,
        (),
        f"source {quoted(source.name)}: {address} is not an address of this machine",
        suggestion(address, alike, "it has"),
    )
