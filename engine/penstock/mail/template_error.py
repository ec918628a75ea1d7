"""What is wrong with a template, or with the variables that it was given."""

from __future__ import annotations


class TemplateError(ValueError):
    """``field``: which template (``subject``, ``html``, ``headers.X-Foo``), or ``variables`` and
    what in them; ``line`` counts from 1, and is 0 where there is none."""

    def __init__(self, field: str, line: int, message: str) -> None:
        super().__init__(f"{field}, line {line}: {message}" if line else f"{field}: {message}")
        self.field = field
        self.line = line
        self.message = message


class BadTemplate(TemplateError):
    """The template itself cannot be used, whatever the variables."""


class BadVariables(TemplateError):
    """The template cannot be rendered with these variables; with others it may."""
