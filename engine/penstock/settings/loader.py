"""From files to ``Settings`` and ``Policies``: values, or every problem at once.

``load_settings`` and ``load_policy_directory`` are what the daemon calls at start and at a reload;
``read_settings`` gives what can be understood of a file along with its problems.
"""

from __future__ import annotations

import os

from penstock.feedback import samples
from penstock.policy import validation
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.policy.problem import Problem, in_order
from penstock.policy.toml import parse, unreadable
from penstock.policy.validation import Checked
from penstock.settings import contradictions
from penstock.settings.files import (
    POLICY_FILES_MAX,
    Read,
    policy_names,
    read_file,
    read_text,
    reason,
)
from penstock.settings.models import Settings


def load_settings(path: str, read: Read = read_file) -> Settings | list[Problem]:
    """The settings in the file ``path``; relative paths in it count from its directory."""
    checked = read_settings(path, read)
    if checked.problems or checked.value is None:
        return in_order(checked.problems)
    return checked.value


load = load_settings


def read_settings(path: str, read: Read = read_file) -> Checked[Settings]:
    """Like ``load_settings``, but with a value also where there are problems, if any can be had."""
    text = read_text(path, read)
    if isinstance(text, Problem):
        return Checked(unreadable(path, text.message), problems=[text])
    return parse_settings(text, path, os.path.dirname(os.path.abspath(path)))


def parse_settings(text: str, file: str, directory: str = "") -> Checked[Settings]:
    """The settings in ``text``; ``file`` is its name, ``directory`` where its paths count from."""
    checked = validation.check(Settings, parse(text, file), {"directory": directory})
    contradictions.find(checked)
    return checked


def load_policy_directory(directory: str, read: Read = read_file) -> Policies | list[Problem]:
    """The policies in ``directory``: its ``*.toml`` and those one level below. Rules for replies
    are held to their samples."""
    root = shown_path(directory)
    texts: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        names = list(policy_names(directory))
    except OSError as error:
        return [Problem(root, 0, (), f"cannot be read: {reason(error)}", "set policies")]
    if len(names) > POLICY_FILES_MAX:
        return [Problem(root, 0, (), f"holds more than {POLICY_FILES_MAX} policy files")]
    for name in names:
        text = read_text(os.path.join(directory, name), read, f"{root}/{name}")
        if isinstance(text, Problem):
            problems.append(text)
        else:
            texts[name] = text
    loaded = load_policies(texts, root, directory)
    if isinstance(loaded, list):
        problems += loaded
    else:
        problems += samples.problems(loaded.replies)
        if not problems:
            return loaded
    return in_order(problems)


def shown_path(path: str) -> str:
    """``path`` as it is shown: relative to the working directory if it is below that."""
    here = os.getcwd()
    if here != os.sep and os.path.commonpath([here, os.path.abspath(path)]) == here:
        return os.path.relpath(path, here)
    return path
