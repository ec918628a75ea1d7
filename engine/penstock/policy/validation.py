"""A document held against a model: a value, or every problem with file and line.

One broken key must not hide what else is wrong. So what a model refuses is reported, then mended in
a copy (a misspelt key gets its right name, a bad value is left out) and the copy is checked
again, until a value comes out. Checks that look at several keys then run on that value; ``Checked``
tells them which keys were bad, so that no complaint follows from another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from penstock.policy.explanations import explain
from penstock.policy.fields import StandIn
from penstock.policy.model_keys import elsewhere, field_at, known_keys
from penstock.policy.problem import Path, Problem, nearest, quoted, suggestion
from penstock.policy.toml import Document

M = TypeVar("M", bound=BaseModel)
_ROUNDS_MAX = 6
_GONE = object()


@dataclass(slots=True)
class Checked(Generic[M]):
    """``value`` is what the document says as far as it can be understood, ``None`` where nothing
    can; it is the document's meaning only if ``problems`` is empty."""

    document: Document
    value: M | None = None
    problems: list[Problem] = field(default_factory=list)
    _bad: set[Path] = field(default_factory=set)
    _renamed: dict[Path, Path] = field(default_factory=dict)
    _data: Any = None

    def original(self, path: Path) -> Path:
        """Where ``path`` of ``value`` stands in the document (left-out elements shift indexes)."""
        at, found = self._data, []
        for part in path:
            here = part
            if isinstance(part, int) and isinstance(at, list):
                here = [n for n, item in enumerate(at) if item is not _GONE][part]
            found.append(here)
            at = _at(at, (here,))
        return tuple(found)

    def bad(self, path: Path) -> bool:
        """Whether the key at ``path`` of ``value``, or something in it, was bad."""
        found = self.original(path)
        return any(bad[: len(found)] == found for bad in self._bad)

    def line(self, path: Path) -> int:
        """The line of ``path`` of ``value``."""
        path = self.original(path)
        return self.document.line(self._renamed.get(path, path))

    def contradict(
        self, path: Path, message: str, hint: str = "", about: Iterable[Path] = ()
    ) -> None:
        """Add a problem at ``path`` of ``value``, unless one of the keys that it is ``about`` was
        bad, or may be among the statements that could not be read."""
        for key in about:
            written = self._renamed.get(self.original(key), self.original(key))
            if self.bad(key) or self.document.maybe_lost(written):
                return
        found = self.original(path)
        line = self.document.line(self._renamed.get(found, found))
        self.problems.append(Problem(self.document.file, line, found, message, hint))


def check(
    model: type[M], document: Document, context: Mapping[str, Any] | None = None
) -> Checked[M]:
    """Hold ``document`` against ``model``; ``context`` is handed to the model's validators."""
    checked: Checked[M] = Checked(document, problems=list(document.problems))
    checked._data = _copy(document.data)
    for _ in range(_ROUNDS_MAX):
        try:
            checked.value = model.model_validate(
                _plain(checked._data), context=None if context is None else dict(context)
            )
            break
        except ValidationError as error:
            details = error.errors(include_url=False)
            _Mending(model, checked).mend(details)
    return checked


class _Mending:
    """One round: report each error once, and repair the copy."""

    def __init__(self, model: type[BaseModel], checked: Checked[Any]) -> None:
        self._model = model
        self._checked = checked

    def mend(self, details: list[ErrorDetails]) -> None:
        # Paths and values first: leaving out an element moves the indexes that later errors speak
        # of, and leaving out a table takes along what is wrong in it.
        paths = [self._checked.original(_clean(d["loc"])) for d in details]
        placed = [(p, d, _at(self._checked._data, p)) for p, d in zip(paths, details, strict=True)]
        renamed = {
            self._unknown_key(path) for path, d, _ in placed if d["type"] == "extra_forbidden"
        }
        for path, detail, given in placed:
            if detail["type"] not in ("extra_forbidden", "missing"):
                self._bad_value(path, detail, given)
        for path, detail, _ in placed:
            if detail["type"] == "missing" and path not in renamed:
                self._missing(path)

    def _unknown_key(self, path: Path) -> Path:
        """Report; then rename the key where its meaning is clear, else leave it out."""
        checked, key = self._checked, str(path[-1])
        known = known_keys(self._model, path[:-1])
        table = _at(checked._data, path[:-1])
        value = table.pop(key)
        where = elsewhere(self._model, key, path[:-1])
        hint = f"it belongs {where}" if where else suggestion(key, known, "keys here")
        self._report(path, "unknown key", hint)
        near = "" if where else nearest(key, known)
        if not near or near in table:
            return path
        table[near] = value
        target = (*path[:-1], near)
        checked._renamed[target] = path
        return target

    def _missing(self, path: Path) -> None:
        """Report, unless the key is there and bad; then put what stands in for such a key."""
        checked = self._checked
        if path not in checked._bad and not checked.document.maybe_lost(path):
            self._report(path[:-1], f"the key {quoted(str(path[-1]))} is missing")
        checked._bad.add(path)
        field = field_at(self._model, path)
        stand_in = (
            next((m for m in field.metadata if isinstance(m, StandIn)), None) if field else None
        )
        if stand_in is None:
            _remove(checked._data, path[:-1])
        else:
            _at(checked._data, path[:-1])[path[-1]] = stand_in.value

    def _bad_value(self, path: Path, detail: ErrorDetails, given: Any) -> None:
        message, hint = explain(detail["type"], detail["msg"], given, detail.get("ctx", {}))
        self._report(path, message, hint)
        self._checked._bad.add(path)
        _remove(self._checked._data, path)

    def _report(self, path: Path, message: str, hint: str = "") -> None:
        written = self._checked._renamed.get(path, path)
        problem = self._checked.document.problem(written, message, hint)
        self._checked.problems.append(problem)


def _clean(loc: tuple[int | str, ...]) -> Path:
    """pydantic marks a bad key of a dict with a last part ``[key]``; the key itself is meant."""
    return loc[:-1] if loc and loc[-1] == "[key]" else loc


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _plain(value: Any) -> Any:
    """What the models take: arrays as tuples (they are frozen), without what was left out."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_plain(item) for item in value if item is not _GONE)
    return value


def _at(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _remove(data: Any, path: Path) -> None:
    if not path:
        data.clear()
        return
    table = _at(data, path[:-1])
    if isinstance(table, dict):
        table.pop(path[-1], None)
    elif isinstance(table, list):
        table[int(path[-1])] = _GONE
