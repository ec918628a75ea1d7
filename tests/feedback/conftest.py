"""Rules as they would be written, and a classifier of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.feedback.classify import Classifier
from penstock.policy.load import load_policies
from penstock.policy.policies import Policies
from penstock.policy.replies import ReplyRules

SHIPPED = Path(__file__).parents[2] / "policies"
Rules = Callable[..., ReplyRules]


@pytest.fixture(scope="session")
def rules() -> Rules:
    """``rules(gmail=[...], any=[...])``: each rule as the text of its table without ``[[rule]]``;
    a name and a sample are put in where there is none."""

    def load(**providers: list[str]) -> ReplyRules:
        files = {}
        for provider, tables in providers.items():
            text = f'provider = "{provider}"\n'
            for number, table in enumerate(tables):
                name = "" if "name =" in table else f'name = "r{number}"\n'
                sample = "" if "matches =" in table else 'matches = ["550 x"]\n'
                text += f"[[rule]]\n{name}{sample}{table}\n"
            files[f"replies/{provider}.toml"] = text
        loaded = load_policies(files)
        assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
        return loaded.replies

    return load


@pytest.fixture(scope="session")
def shipped_rules() -> ReplyRules:
    files = {
        path.relative_to(SHIPPED).as_posix(): path.read_text("utf-8")
        for path in sorted(SHIPPED.glob("replies/*.toml"))
    }
    loaded = load_policies(files)
    assert isinstance(loaded, Policies), "\n".join(map(str, loaded))
    assert len(loaded.replies), "the rules are part of the repository"
    return loaded.replies


@pytest.fixture(scope="session")
def shipped(shipped_rules: ReplyRules) -> Classifier:
    return Classifier(shipped_rules)
