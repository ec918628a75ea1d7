"""The labelled replies: nearly all in a category that fits, and no good address suppressed.

They are no part of the repository: ``PENSTOCK_CORPORA`` names their folder, by default the one
beside the working copy.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from penstock.feedback.classify import Classifier
from penstock.feedback.normalise import of_text
from penstock.mail.verdict import Category

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("PENSTOCK_CORPORA") or ROOT.parent / "shared" / "corpora"
CORPUS = Path(FOLDER) / "replies.jsonl"
GOOD_MIN = 0.95
NEVER = {
    Category.REPUTATION_BLOCK,
    Category.THROTTLED,
    Category.AUTH_FAILURE,
    Category.SPAM_CONTENT,
}


@pytest.fixture(scope="module")
def labelled() -> list[dict[str, object]]:
    if not CORPUS.exists():
        pytest.skip(f"no labelled replies in {CORPUS.parent}; PENSTOCK_CORPORA says where")
    return [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]


def test_nearly_all_are_read_right(labelled: list[dict[str, object]], shipped: Classifier) -> None:
    wrong = []
    for one in labelled:
        verdict = shipped.read(str(one["provider"]), of_text(str(one["reply"])))
        if verdict.category.value not in one["categories"]:  # type: ignore[operator]
            wrong.append(f"{verdict.category.value} by {verdict.rule or 'code'}: {one}")
    assert len(wrong) <= (1 - GOOD_MIN) * len(labelled), "\n".join(wrong)


def test_nobody_is_suppressed_for_what_is_not_theirs(
    labelled: list[dict[str, object]], shipped: Classifier
) -> None:
    never = {category.value for category in NEVER}
    for one in labelled:
        verdict = shipped.read(str(one["provider"]), of_text(str(one["reply"])))
        if not never.isdisjoint(one["categories"]):  # type: ignore[call-overload]
            assert not verdict.suppress, one
        assert not (verdict.suppress and verdict.category in NEVER), one
