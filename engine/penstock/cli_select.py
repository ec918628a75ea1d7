"""Which mail a command is about: the same options for each of them, given to it as one selector."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from penstock.cli_common import WRONG, CommandError

_OPTIONS = {
    "tenant": ("--tenant", "-t", "Whose mail it is."),
    "campaign": ("--campaign", "", "What it belongs to."),
    "provider": ("--provider", "-p", "Provider, as in the policies."),
    "domain": ("--domain", "-d", "Recipients' domain."),
    "source": ("--source", "", "Source that it is to leave from, as in the policies."),
    "pool": ("--pool", "", "Pool of sources, as in the policies."),
    "class": ("--class", "", "transactional, triggered or bulk."),
}


def selecting(
    function: Callable[..., None] | None = None, *, needed: bool = True
) -> Callable[..., Any]:
    """Gives a command the selector options in place of its first parameter, ``selector``.

    Where ``needed``, none of them is a mistake.
    """
    if function is None:
        return functools.partial(selecting, needed=needed)

    @functools.wraps(function)
    def run(**given: Any) -> None:
        selector = {name: given.pop(_parameter(name)) for name in _OPTIONS}
        selector = {name: value for name, value in selector.items() if value}
        if needed and not selector:
            options = ", ".join(option for option, *_ in _OPTIONS.values())
            raise CommandError(f"say which mail: one or more of {options}", WRONG)
        if "domain" in selector:
            selector["domain"] = selector["domain"].lower()
        function(selector, **given)

    hints = get_type_hints(function, include_extras=True)
    own = list(inspect.signature(function).parameters.values())[1:]
    options = [_option(name) for name in _OPTIONS]
    rest = [one.replace(annotation=hints[one.name]) for one in own]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*options, *rest)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def shown(selector: dict[str, str]) -> str:
    """``tenant=shop campaign=spring``."""
    return " ".join(f"{name}={value}" for name, value in selector.items())


def _parameter(name: str) -> str:
    return f"{name}_"  # "class" is a word of Python


def _option(name: str) -> inspect.Parameter:
    option, short, text = _OPTIONS[name]
    declared = typer.Option(*filter(None, (option, short)), help=text)
    return inspect.Parameter(
        _parameter(name),
        inspect.Parameter.KEYWORD_ONLY,
        default="",
        annotation=Annotated[str, declared],
    )
