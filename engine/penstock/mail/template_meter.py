"""What a template may cost: a budget of steps and of characters, counted and not timed.

The count is the same on every machine and at every load, so a template that renders once renders
always. A step is about one node of the template evaluated once, one item or 64 characters looked
at; a loop pays for all of its turns before the first.
"""

from __future__ import annotations

from jinja2 import StrictUndefined
from jinja2.runtime import Context

STEPS_MAX = 50_000
OUTPUT_CHARS_MAX = 4 << 20
VALUE_CHARS_MAX = 1 << 20
ITEMS_MAX = 10_000
INTEGER_MAX = (1 << 63) - 1
_CHARS_A_STEP = 64


class TemplateFault(Exception):
    """Something that a template may not do, met while it is rendered; the text is for people."""


class Meter:
    """The budget of one rendering, or of several that share it."""

    __slots__ = ("chars_left", "steps_left")

    def __init__(
        self, steps_max: int = STEPS_MAX, output_chars_max: int = OUTPUT_CHARS_MAX
    ) -> None:
        self.steps_left = steps_max
        self.chars_left = output_chars_max

    def steps(self, count: int) -> None:
        self.steps_left -= count
        if self.steps_left < 0:
            raise TemplateFault("the template takes too many steps; loop over less")

    def output(self, chars: int) -> None:
        self.chars_left -= chars
        if self.chars_left < 0:
            raise TemplateFault("the template writes too much text")

    def look_at(self, value: object) -> None:
        """Pays for a pass over ``value`` and all that is in it."""
        kind = type(value)
        if kind is int or kind is float or kind is bool or value is None:
            self.steps(1)
        elif isinstance(value, str):
            self.steps(1 + len(value) // _CHARS_A_STEP)
        elif isinstance(value, list | tuple):
            self.steps(1)
            for item in value:
                self.look_at(item)
        elif isinstance(value, dict):
            self.steps(1)
            for key, item in value.items():
                self.look_at(key)
                self.look_at(item)
        else:
            self.steps(1)

    def made(self, value: str) -> str:
        """``value``, which an operation made, where it is not too long; pays for it."""
        self.will_make(len(value))
        self.steps(1 + len(value) // _CHARS_A_STEP)
        return value

    def will_make(self, chars: int) -> None:
        """For what may grow large all at once: refused before it is made."""
        if chars > VALUE_CHARS_MAX:
            raise TemplateFault(f"a text of more than {VALUE_CHARS_MAX} characters")


class MeteredContext(Context):
    """The names of one rendering, and what it may still cost."""

    meter: Meter


def meter_of(context: Context) -> Meter:
    assert isinstance(context, MeteredContext)
    return context.meter


class Missing(StrictUndefined):
    """A variable that was not given: may be tested and defaulted, and nothing else."""

    @property
    def _undefined_message(self) -> str:
        if self._undefined_hint:
            return self._undefined_hint
        return f"there is no variable {self.path!r}; give it, or write {self.path}|default('')"

    @property
    def path(self) -> str:
        return str(self._undefined_name)
