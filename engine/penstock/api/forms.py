"""Errors in the form that the client of a route expects: RFC 9457, but where a route must look like
somebody else's."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from penstock.api.problem import Problem

Form = Callable[[Problem], Response]
_FORMS: dict[str, Form] = {}


def answers_in(prefix: str, form: Form) -> None:
    """Problems of paths that begin so are told by ``form``."""
    _FORMS[prefix] = form


def said(problem: Problem, path: str) -> Response:
    """The answer to a request for ``path``."""
    for prefix, form in _FORMS.items():
        if path.startswith(prefix):
            return form(problem)
    return problem.response()
