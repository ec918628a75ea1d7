"""docs/templates.md lists what there is, and the limits as they are."""

from __future__ import annotations

import pathlib
import re

from penstock.mail import mailing, template_check, template_meter, template_variables
from penstock.mail.template_filters import FILTERS, TESTS
from penstock.mail.template_operators import METHODS

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs/templates.md").read_text()


def listed(start: str) -> set[str]:
    """The words in the first backquotes behind ``start``."""
    found = re.search(re.escape(start) + r" `([^`]*)`", PAGE)
    assert found is not None
    return set(found[1].split())


def test_filters_and_tests_and_methods() -> None:
    assert listed("Filters:") == set(FILTERS)
    assert listed("Tests:") == set(TESTS)
    methods = listed("of texts") | listed("of mappings") | {"cycle"}
    assert methods == METHODS


def test_limits() -> None:
    def number(start: str, pattern: str) -> list[int]:
        (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {start} |")]
        found = re.search(pattern, row)
        assert found is not None
        return [int(one.replace(",", "")) for one in found.groups()]

    assert number(
        "the templates of a message together", r"(\d+) Ki .* ([\d,]+) tags, ([\d,]+) names"
    ) == [
        template_check.SOURCE_CHARS_MAX >> 10,
        template_check.TAGS_MAX,
        template_check.NODES_MAX,
    ]
    assert number("nesting", r"(\d+) blocks, (\d+) brackets, (\d+) in .*; (\d+) words") == [
        template_check.BLOCKS_MAX,
        template_check.BRACKETS_MAX,
        template_check.DEPTH_MAX,
        template_check.TAG_WORDS_MAX,
    ]
    assert number("steps of one message", r"([\d,]+):") == [template_meter.STEPS_MAX]
    assert number("text of one message", r"(\d+) Mi .* (\d+) Mi; .* ([\d,]+) items") == [
        template_meter.OUTPUT_CHARS_MAX >> 20,
        template_meter.VALUE_CHARS_MAX >> 20,
        template_meter.ITEMS_MAX,
    ]
    assert number("all messages of a call", r"([\d,]+) steps and (\d+) Mi") == [
        mailing.MAILING_STEPS_MAX,
        mailing.MAILING_CHARS_MAX >> 20,
    ]
    assert number("variables of a recipient", r"(\d+) Ki .* ([\d,]+) values, (\d+) deep") == [
        template_variables.VARIABLES_CHARS_MAX >> 10,
        template_variables.VARIABLES_MAX,
        template_variables.DEPTH_MAX,
    ]
