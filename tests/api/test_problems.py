"""Problem documents: every kind is in the table and on the page, and says what it should."""

from __future__ import annotations

import ast
import pathlib
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.api.explanations import place
from penstock.api.page import problems_page
from penstock.api.problem import (
    FieldError,
    Problem,
    closed_problem,
    invalid,
    problem_of,
    validation_problem,
)
from penstock.api.problem_kinds import KINDS
from penstock.api.reference import problems_markdown
from penstock.control import ControlError
from penstock.smtp.reply import Reply

ROOT = pathlib.Path(__file__).resolve().parents[2]


def raised() -> list[tuple[str, int, str]]:
    """File, status and slug of every ``Problem(...)`` in the source that has them as constants."""
    found = []
    for path in (ROOT / "engine" / "penstock").rglob("*.py"):
        if "api" not in path.parts and "worker" not in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "Problem"
                and len(node.args) >= 2
                and all(isinstance(one, ast.Constant) for one in node.args[:2])
            ):
                status, slug = (one.value for one in node.args[:2])  # type: ignore[attr-defined]
                found.append((path.name, status, slug))
    return found


def test_every_problem_that_is_raised_is_in_the_table() -> None:
    found = raised()
    assert len(found) > 15
    for file, status, slug in found:
        assert slug in KINDS, f"{file}: {slug} is not in api/problem_kinds.py"
        assert KINDS[slug].status == status, f"{file}: {slug} has the status {KINDS[slug].status}"


def test_the_pages_name_every_kind() -> None:
    page = problems_page()
    assert all(f'id="{slug}"' in page for slug in KINDS)
    written = (ROOT / "docs" / "reference" / "problems.md").read_text()
    assert written == problems_markdown(), "run make docs"


def test_a_document_has_what_rfc_9457_wants_and_the_fields() -> None:
    problem = Problem(
        409, "conflict", "It is so.", errors=[FieldError("a.b", "no")], headers={"X": "y"}, since=3
    )
    assert problem.document() == {
        "type": "/docs/problems#conflict",
        "title": "It cannot be done as things are",
        "status": 409,
        "detail": "It is so.",
        "since": 3,
        "errors": [{"field": "a.b", "message": "no"}],
    }
    assert problem.response().headers["x"] == "y"


@pytest.mark.parametrize(
    ("code", "status", "slug"),
    [
        ("not-found", 404, "not-found"),
        ("bad-selector", 422, "invalid"),
        ("restart-needed", 409, "conflict"),
        ("unavailable", 503, "unavailable"),
        ("internal", 500, "failed"),
        ("something new", 409, "conflict"),
    ],
)
def test_what_the_daemon_refuses_is_told_in_its_words(code: str, status: int, slug: str) -> None:
    problem = problem_of(ControlError(code, "because"))
    assert (problem.status, problem.slug, problem.detail) == (status, slug, "because")
    assert ("Retry-After" in problem.headers) == (status == 503)


def test_why_intake_is_closed() -> None:
    disk = closed_problem(Reply.of(452, "4.3.1 Insufficient system storage, try again later"))
    assert (disk.status, disk.slug, disk.headers) == (507, "no-room", {"Retry-After": "60"})
    busy = closed_problem(Reply.of(421, "4.3.2 This server is too busy now, try again later"))
    assert (busy.status, busy.slug, busy.headers) == (503, "unavailable", {"Retry-After": "5"})
    assert busy.detail == "This server is too busy now, try again later. Nothing was accepted."


class Inner(BaseModel):
    to: str = Field(min_length=3, max_length=5)
    count: int = Field(default=1, ge=1, le=9)


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    recipients: list[Inner] = Field(min_length=1, max_length=2)
    flag: bool = False


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({}, "recipients", "is required"),
        ({"recipients": []}, "recipients", "must not be empty"),
        ({"recipients": [{"to": "abc"}] * 3}, "recipients", "may have 2 items at most"),
        ({"recipients": {}}, "recipients", "expected an array, not an object"),
        ({"recipients": [{"to": "a"}]}, "recipients[0].to", "needs 3 characters at least"),
        ({"recipients": [{"to": "abcdef"}]}, "recipients[0].to", "may have 5 characters at most"),
        ({"recipients": [{"to": 7}]}, "recipients[0].to", "expected a string, not the number 7"),
        (
            {"recipients": [{"to": "abc", "count": 10}]},
            "recipients[0].count",
            "must be at most 9, not the number 10",
        ),
        (
            {"recipients": [{"to": "abc", "count": 10**30}]},
            "recipients[0].count",
            "must be at most 9, not a number of more than 20 digits",
        ),
        (
            {"recipients": [{"to": "abc"}], "flag": "maybe"},
            "flag",
            'expected true or false, not "maybe"',
        ),
        ({"recipients": [{"to": "abc"}], "colour": 1}, "colour", "there is no such field here"),
        ([], "", "expected an object, not an array"),
    ],
)
def test_what_was_wrong_and_what_is_allowed(given: Any, field: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(given)
    problem = validation_problem(caught.value)
    assert problem.status == 422
    assert problem.errors == (FieldError(field, message),)
    assert problem.detail == "A field is wrong."


def test_places_are_written_as_people_write_them() -> None:
    assert place(("recipients", 3, "to")) == "recipients[3].to"
    assert place(("variables", "first name")) == 'variables["first name"]'
    assert place(("a", "b\nc", 0)) == 'a["b\\u000ac"][0]'
    assert place(()) == ""


def test_of_many_errors_a_hundred_are_told() -> None:
    problem = invalid([FieldError(f"f{n}", "no") for n in range(150)])
    assert len(problem.document()["errors"]) == 100
    assert problem.detail == "150 fields are wrong. The first 100 are shown."
