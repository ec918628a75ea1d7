"""The one place that reads files for the settings and the policies.

Reading is an argument everywhere else, so that checks can be tried without a disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from penstock.policy.problem import Problem
from penstock.policy.toml import FILE_BYTES_MAX, decode

Read = Callable[[str], bytes]
POLICY_FILES_MAX = 2000


def read_file(path: str) -> bytes:
    """The content of ``path``; ``OSError`` as it comes, also for more than a bounded size."""
    with open(path, "rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise OSError(f"longer than {FILE_BYTES_MAX} bytes")
    return content


def read_text(path: str, read: Read, shown: str = "") -> str | Problem:
    """The text of ``path``; ``shown`` is its name in the problem."""
    shown = shown or path
    try:
        content = read(path)
    except OSError as error:
        return Problem(shown, 0, (), f"cannot be read: {reason(error)}")
    return decode(content, shown)


def reason(error: OSError) -> str:
    """What the system says, without the path that is named anyway."""
    return error.strerror or str(error)


def policy_names(directory: str) -> Iterator[str]:
    """The names of the policy files below ``directory``, like ``providers/gmail.toml``.

    Raises ``OSError`` if the directory cannot be listed. Hidden files are passed over.
    """
    for name in sorted(os.listdir(directory)):
        path = os.path.join(directory, name)
        if os.path.isdir(path) and not name.startswith("."):
            for inner in sorted(os.listdir(path)):
                if _is_policy(inner):
                    yield f"{name}/{inner}"
        elif _is_policy(name):
            yield name


def _is_policy(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith(".")
