"""Templates: Jinja2 in a sandbox that counts, compiled once and rendered for many recipients.

Whoever may inject may write a template, so a template is a program of a stranger. It sees the
variables that came with it and nothing else; what it may say is a list (``template_check``), what
it may cost is a number (``template_meter``), and both are the same on every machine. HTML and AMP
escape what they put in; subject, text and headers do not.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, pass_context
from jinja2.exceptions import UndefinedError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import escape

from penstock.mail.build_headers import HEADERS_MAX, one_line
from penstock.mail.mailbox import CONTROL
from penstock.mail.template_check import Size, parse
from penstock.mail.template_error import BadTemplate, BadVariables, TemplateError
from penstock.mail.template_filters import FILTERS, TESTS
from penstock.mail.template_meter import Meter, MeteredContext, Missing, TemplateFault, meter_of
from penstock.mail.template_operators import OPERATOR_PREFIX, OPERATORS, text

__all__ = [
    "BadTemplate",
    "BadVariables",
    "Meter",
    "TemplateCache",
    "TemplateError",
    "TemplateSet",
    "Templates",
    "WholeTemplate",
]

_LOOP_ATTRIBUTES = frozenset({
    "depth", "depth0", "first", "index", "index0", "last", "length", "nextitem", "previtem",
    "revindex", "revindex0",
})  # fmt: skip
_BLANK_LINE = re.compile(r"\n\r?\n")
_SYNTAX = ("{{", "{%", "{#")


@pass_context
def _written(context: Context, value: Any) -> str:
    """What an expression puts into the message; pays for it."""
    found = text(value)
    if context.eval_ctx.autoescape:
        found = escape(found)
    meter = meter_of(context)
    meter.steps(1)
    meter.output(len(found))
    return found


@pass_context
def _written_on_one_line(context: Context, value: Any) -> str:
    """As :func:`_written`, in the header of a whole message: a value cannot begin a field."""
    found = one_line(_written(context, value))
    if CONTROL.search(found):
        raise TemplateFault("a control character in a header")
    return found


class _Environment(ImmutableSandboxedEnvironment):
    """Names reach into mappings, lists and ``loop``, never into Python objects."""

    def __init__(
        self, *, autoescape: bool = False, finalize: Callable[..., str] = _written
    ) -> None:
        super().__init__(
            autoescape=autoescape,
            undefined=Missing,
            finalize=finalize,
            optimized=False,
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.globals = {}
        internal = {OPERATOR_PREFIX + name: operator for name, operator in OPERATORS.items()}
        self.filters = {name: pass_context(one) for name, one in (FILTERS | internal).items()}
        self.tests = dict(TESTS)

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            found = obj.get(attribute, self)
            return Missing(name=attribute) if found is self else found
        if isinstance(obj, LoopContext) and attribute in _LOOP_ATTRIBUTES:
            return getattr(obj, attribute)
        if isinstance(obj, Missing):
            return Missing(name=f"{obj.path}.{attribute}")
        return Missing(name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if isinstance(argument, str):
            return self.getattr(obj, argument)
        if isinstance(obj, list | tuple | str) and isinstance(argument, int):
            return (
                obj[argument] if -len(obj) <= argument < len(obj) else Missing(name=str(argument))
            )
        return Missing(name=text(argument))


_PLAIN = _Environment()
_HEADER = _Environment(finalize=_written_on_one_line)
_ESCAPING = _Environment(autoescape=True)


class CompiledTemplate:
    """One template; ``field`` is what errors call it."""

    __slots__ = ("_environment", "_lines_before", "_template", "constant", "field")

    def __init__(
        self,
        field: str,
        source: str,
        *,
        autoescape: bool = False,
        header: bool = False,
        size: Size | None = None,
        lines_before: int = 0,
    ) -> None:
        """``header``: the header of a whole message, in which values stay on their line; ``size``:
        what it shares its limits with; ``lines_before``: of the same text, in another template.
        Raises :class:`BadTemplate`."""
        self.field = field
        self.constant: str | None = None
        self._lines_before = lines_before
        self._environment = _HEADER if header else _ESCAPING if autoescape else _PLAIN
        if not any(begin in source for begin in _SYNTAX):
            self.constant = source
            return
        try:
            code = self._environment.compile(
                parse(self._environment, source, size or Size()), filename=field
            )
            self._template = Template.from_code(self._environment, code, {})
        except TemplateSyntaxError as error:
            line = error.lineno and error.lineno + lines_before
            raise BadTemplate(field, line, error.message or "not a template") from None
        except (ValueError, SyntaxError, OverflowError) as error:
            raise BadTemplate(field, 0, f"cannot be read: {error}") from None
        except (RecursionError, MemoryError):
            raise BadTemplate(field, 0, "is nested too deeply") from None

    def render(self, variables: dict[str, Any], meter: Meter) -> str:
        """Raises :class:`BadVariables`."""
        if self.constant is not None:
            meter.output(len(self.constant))
            return self.constant
        context = MeteredContext(self._environment, variables, None, {})
        context.meter = meter
        try:
            return "".join(self._template.root_render_func(context))
        except (TemplateFault, UndefinedError) as error:
            line, said = self._line(error.__traceback__), str(error)
            raise BadVariables(self.field, line, said) from None
        except Exception as error:
            line, said = self._line(error.__traceback__), f"{type(error).__name__}: {error}"
            raise BadVariables(self.field, line, said) from None

    def _line(self, trace: TracebackType | None) -> int:
        """The line of the template at which an error happened."""
        line = 0
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.field:
                line = self._template.get_corresponding_lineno(trace.tb_lineno)
                line += self._lines_before
            trace = trace.tb_next
        return line


class WholeTemplate:
    """A whole message, header and body, as one template. Values in the header stay on their line;
    a loop or a condition cannot reach from the header into the body."""

    __slots__ = ("_body", "_head")

    def __init__(self, field: str, source: str) -> None:
        """Raises :class:`BadTemplate`."""
        blank = _BLANK_LINE.search(source)
        end = blank.end() if blank else len(source)
        size = Size()
        self._head = CompiledTemplate(field, source[:end], header=True, size=size)
        lines = source.count("\n", 0, end)
        self._body = CompiledTemplate(field, source[end:], size=size, lines_before=lines)

    def render(self, variables: dict[str, Any], meter: Meter) -> str:
        """Raises :class:`BadVariables`."""
        return self._head.render(variables, meter) + self._body.render(variables, meter)


@dataclass(frozen=True, slots=True)
class Templates:
    """The sources of a message's templates, as they came in; ``None``: the draft's own stands."""

    subject: str | None = None
    text: str | None = None
    html: str | None = None
    amp: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    from_name: str | None = None

    def key(self) -> bytes:
        """What tells these templates from all others."""
        return sha256(repr(self).encode("utf-8", "surrogatepass")).digest()

    def size(self) -> int:
        """In characters."""
        bodies = (self.subject, self.text, self.html, self.amp, self.from_name)
        return sum(len(one) for one in bodies if one) + sum(
            len(name) + len(value) for name, value in self.headers
        )


class TemplateSet:
    """Templates ready to be rendered any number of times."""

    __slots__ = ("amp", "from_name", "headers", "html", "subject", "text")

    def __init__(self, templates: Templates) -> None:
        """Raises :class:`BadTemplate`."""
        if len(templates.headers) > HEADERS_MAX:
            raise BadTemplate("headers", 0, f"more than {HEADERS_MAX}")
        size = Size()

        def compiled(field: str, source: str | None, autoescape: bool) -> CompiledTemplate | None:
            if source is None:
                return None
            return CompiledTemplate(field, source, autoescape=autoescape, size=size)

        self.subject = compiled("subject", templates.subject, False)
        self.text = compiled("text", templates.text, False)
        self.html = compiled("html", templates.html, True)
        self.amp = compiled("amp", templates.amp, True)
        self.from_name = compiled("from.name", templates.from_name, False)
        self.headers = tuple(
            (name, CompiledTemplate(f"headers.{name[:80]}", value, autoescape=False, size=size))
            for name, value in templates.headers
        )


class TemplateCache:
    """Compiled sets by what they were compiled of; the one used longest ago goes first."""

    def __init__(self, sets_max: int = 64, chars_max: int = 8 << 20) -> None:
        self.sets_max = sets_max
        self.chars_max = chars_max
        self.chars = 0
        self.hits = self.misses = 0
        self._sets: OrderedDict[bytes, tuple[TemplateSet, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sets)

    def get(self, templates: Templates) -> TemplateSet:
        """The compiled set; raises :class:`BadTemplate`."""
        key = templates.key()
        found = self._sets.get(key)
        if found is not None:
            self.hits += 1
            self._sets.move_to_end(key)
            return found[0]
        self.misses += 1
        made, size = TemplateSet(templates), templates.size()
        self._sets[key] = made, size
        self.chars += size
        while len(self._sets) > self.sets_max or self.chars > self.chars_max:
            self.chars -= self._sets.popitem(last=False)[1][1]
        return made
