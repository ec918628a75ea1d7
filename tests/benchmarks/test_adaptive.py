"""The pace is found whatever the hidden limit is; the whole table is `python -m bench.adaptive`."""

from __future__ import annotations

import pytest
from bench.adaptive import CAPACITY_MIN, DEFERRED_MAX, RECOVERY_MAX_MIN, SCENARIOS, endless

QUICK = [one for one in SCENARIOS if one.hours <= 8]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", QUICK, ids=[one.name for one in QUICK])
def test_the_hidden_limit_is_found(scenario):
    found, _ = endless(scenario)
    assert found["share"] >= CAPACITY_MIN
    assert found["deferred"] <= DEFERRED_MAX
    assert found["blocks"] == 0
    assert (found["back_min"] or 0.0) <= RECOVERY_MAX_MIN
