"""The pace and what it has to find, as curves: one panel for each provider."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from bench import picture
from bench.adaptive_providers import Crowding, Provider, Quota, Reply
from bench.adaptive_world import Run
from bench.harness import ROOT

DOCS = ROOT / "docs/pace.svg"
_MIN_S = 60
_REFUSED = "#c2410c"


def draw(found: Mapping[str, tuple[Provider, Run]], path: pathlib.Path = DOCS) -> pathlib.Path:
    """Raises ``ImportError`` without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(picture.STYLE):
        rows = (len(found) + 1) // 2
        figure, axes = pyplot.subplots(
            rows, 2, figsize=(10, 2.1 * rows), facecolor=picture.CARD, squeeze=False
        )
        for axis, (name, (provider, run)) in zip(axes.flat, found.items(), strict=False):
            _panel(axis, name, provider, run)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=3, frameon=False)
        figure.tight_layout(pad=1.4, h_pad=1.6, w_pad=2.0, rect=(0, 0, 1, 0.97))
        figure.savefig(path, facecolor=picture.CARD, metadata={"Date": None})
        pyplot.close(figure)
    return path


def _panel(axis: Any, name: str, provider: Provider, run: Run) -> None:
    """By the minute, at most 120 points."""
    step = max(_MIN_S, len(run.replies) // 120 // _MIN_S * _MIN_S)
    starts = range(0, len(run.replies) - step + 1, step)
    hours = [at / 3600 for at in starts]

    def per_s(*kinds: Reply) -> list[float]:
        return [run.count(at, at + step, *kinds) / step for at in starts]

    through = per_s(Reply.DELIVERED, Reply.GREYLISTED, Reply.DEFERRED)
    if not isinstance(provider, Quota):
        limit = [provider.limit_per_s(float(at)) for at in starts]
        axis.plot(hours, limit, color=picture.SOFT, lw=1, ls="--", label="the hidden limit")
        axis.set_ylim(0, 1.25 * max(limit))
    else:
        axis.set_ylim(0, 1.1 * max(through))
    axis.plot(hours, through, color=picture.OURS, lw=1.3, label="let through, a second")
    refused = per_s(Reply.THROTTLED, Reply.CROWDED, Reply.BLOCKED)
    axis.fill_between(hours, refused, color=_REFUSED, lw=0.6, label="refused, a second")
    axis.set_xlim(0, hours[-1])
    axis.set_title(name)
    axis.set_xlabel("hours" if not isinstance(provider, Crowding) else "hours, 0.5 s a message")
    axis.grid(axis="y", color=picture.GRID, linewidth=0.8)
    axis.tick_params(labelcolor=picture.SOFT, length=0)
