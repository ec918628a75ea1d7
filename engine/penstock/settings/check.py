"""Everything that is wrong with a configuration: what ``penstock check`` shows.

The config file, the policies that it leads to, and the key files that it names, all in one go: a
mistake in one hides none in another.
"""

from __future__ import annotations

from penstock.policy.problem import Problem, in_order
from penstock.settings import keys, pools
from penstock.settings.files import Read, read_file
from penstock.settings.loader import load_policy_directory, read_settings


def check(path: str, read: Read = read_file) -> list[Problem]:
    """The problems of the config file ``path`` and of all files that it names, in order."""
    checked = read_settings(path, read)
    if checked.value is not None:
        keys.check(checked, read)
        loaded = load_policy_directory(checked.value.policies, read)
        if isinstance(loaded, list):
            checked.problems += loaded
        else:
            pools.check(checked, loaded.pools)
    return in_order(checked.problems)
