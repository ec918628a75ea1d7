"""What ``penstock status`` says while a worker is not there."""

from __future__ import annotations

from typing import Any, cast

import pytest

from penstock.control import ControlError
from penstock.daemon.admin import _stats
from penstock.daemon.children import Child


class Answering:
    def __init__(self, answer: dict[str, Any] | Exception) -> None:
        self._answer = answer

    async def call(self, method: str) -> dict[str, Any]:
        assert method == "stats"
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ({"entries": 3}, {"entries": 3}),
        (ConnectionResetError("the control channel is closed"), None),  # it has just died
        (ControlError("starting", "the worker is still starting"), None),
    ],
)
async def test_a_worker_that_cannot_answer_does_not_silence_the_others(
    answer: dict[str, Any] | Exception, found: dict[str, Any] | None
) -> None:
    assert await _stats(cast(Child, Answering(answer))) == found
