"""What the commands share: options, errors as one line, the way to the running daemon.

Exit codes: 0 done, 1 it cannot be done, 2 the command line or the settings are wrong.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import pwd
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar, get_type_hints

import typer

if TYPE_CHECKING:
    from penstock.cli_http import Remote
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
Url = Annotated[
    str,
    typer.Option(
        "--url",
        envvar="PENSTOCK_URL",
        help="Of a daemon elsewhere, like https://mail.example:8443; its key in PENSTOCK_KEY.",
        metavar="URL",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
CONFIG = "config.toml"
_KEY = "PENSTOCK_KEY"
_url: ContextVar[str] = ContextVar("url", default="")


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


def asking(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """As :func:`command`, for those that ask a daemon: with ``--url`` one on another machine."""
    inner = command(function)

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        token = _url.set(str(kwargs.pop("url", "") or ""))
        try:
            return inner(*args, **kwargs)
        finally:
            _url.reset(token)

    hints = get_type_hints(function, include_extras=True)
    url = inspect.Parameter("url", inspect.Parameter.KEYWORD_ONLY, default="", annotation=Url)
    own = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[one.name])
        for one in inspect.signature(function).parameters.values()
    ]
    run.__signature__ = inspect.Signature([*own, url])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*own, url)}
    return run


def remote() -> Remote | None:
    """The daemon that ``--url`` names; ``None``: this machine's."""
    url = _url.get()
    if not url:
        return None
    from penstock.cli_http import Remote

    return Remote(url, os.environ.get(_KEY, ""))


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
    from penstock import cli_http

    elsewhere = remote()
    if elsewhere is not None:
        return ask_remote(elsewhere, method, params, timeout_s)
    settings = load_settings(config)
    path = settings.api_socket
    try:
        try:
            return cli_http.ask_unix(path, method, params, timeout_s)
        except (FileNotFoundError, ConnectionRefusedError):
            return _ask_before(settings.control, method, params, timeout_s)
    except cli_http.Refused as error:
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


def ask_remote(
    remote: Remote, method: str, params: Any, timeout_s: float = 60.0, **more: Any
) -> Any:
    """The same of a daemon elsewhere."""
    from penstock import cli_http

    try:
        return cli_http.ask_remote(remote, method, params, timeout_s, **more)
    except cli_http.BadUrl as error:
        raise CommandError(f"--url: {error}", WRONG) from None
    except cli_http.Refused as error:
        raise CommandError(str(error)) from None
    except TimeoutError:
        raise CommandError(f"the daemon did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise CommandError(f"the daemon at {remote.url}: {_reason(error)}") from None


def _ask_before(path: str, method: str, params: Any, timeout_s: float) -> Any:
    """A daemon of a version before the HTTP API, which an upgrade is still to replace: over its
    control socket."""
    from penstock.cli_http import Refused
    from penstock.control import ControlError, call_once

    try:
        return call_once(path, method, params or {}, timeout_s)
    except ControlError as error:
        raise Refused(str(error)) from None


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
