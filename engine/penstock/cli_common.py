"""What the commands share: options, errors as one line, the way to the running daemon.

Exit codes: 0 done, 1 it cannot be done, 2 the command line or the settings are wrong.
"""

from __future__ import annotations

import functools
import json
import os
import pwd
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

if TYPE_CHECKING:
    from penstock.settings.models import Settings

_P = ParamSpec("_P")
_R = TypeVar("_R")

FAILED, WRONG = 1, 2

Config = Annotated[
    str,
    typer.Option(
        "--config", "-c", envvar="PENSTOCK_CONFIG", help="The daemon's settings.", metavar="FILE"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
CONFIG = "config.toml"


class CommandError(Exception):
    """Why a command cannot be done, in the words for the user."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code


def command(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Turns what a command may run into into one clear line on standard error."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except CommandError as error:
            typer.echo(f"penstock: {error}", err=True)
            raise typer.Exit(error.code) from None
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nobody reads any more: no complaint
            raise typer.Exit(FAILED) from None
        except OSError as error:
            typer.echo(f"penstock: {_reason(error)}", err=True)
            raise typer.Exit(FAILED) from None

    return run


def load_settings(path: str) -> Settings:
    """The settings, or an error that shows every problem."""
    from penstock.settings.loader import load_settings as load

    settings = load(path)
    if isinstance(settings, list):
        problems = "\n".join(str(problem) for problem in settings)
        raise CommandError(f"the settings are wrong\n{problems}", WRONG)
    return settings


def ask(config: str, method: str, params: Any = None, timeout_s: float = 60.0) -> Any:
    """The running daemon's answer; its refusals and its absence become :class:`CommandError`."""
    from penstock.control import ControlError, call_once

    path = load_settings(config).control
    try:
        return call_once(path, method, params or {}, timeout_s)
    except ControlError as error:
        raise CommandError(str(error)) from None
    except (FileNotFoundError, ConnectionRefusedError):
        raise CommandError(
            f"no daemon is running with {config} (nobody listens at {path}); start it with "
            f"penstock run --config {config}"
        ) from None
    except PermissionError:
        raise CommandError(f"not permitted to use {path}; run this as the daemon's user") from None
    except TimeoutError:
        raise CommandError(f"the daemon did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise CommandError(f"the daemon at {path}: {_reason(error)}") from None


def print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def user_name() -> str:
    """Who asks, for the log of who suspended what."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def duration(text: str) -> float:
    """A duration given as an option, in seconds."""
    from penstock.policy.units import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise CommandError(str(error), WRONG) from None


def _reason(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}"
