"""The month of ``bench.warmup`` as a picture: the plan, what was sent, and what each day led to."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, Any

from bench.harness import ROOT
from bench.picture import CARD, GRID, INK, OURS, SOFT, STYLE

if TYPE_CHECKING:
    from bench.warmup import Month

DOCS = ROOT / "docs/warmup.svg"
WARM = "#d5dde3"
_MARKS = {"hold": ("s", "#d08700", "held"), "back": ("v", "#c0392b", "set back by a block")}


def draw(found: Month, path: pathlib.Path = DOCS) -> None:
    """Raises ``ImportError`` without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(1, len(found.sent), figsize=(10, 3.4), facecolor=CARD)
        for axis, provider in zip(axes, found.sent, strict=True):
            _panel(axis, found, provider)
        axes[0].set_ylabel("messages a day")
        handles, names = _legend(axes)
        figure.legend(handles, names, loc="lower center", ncol=5, frameon=False, fontsize=8)
        figure.tight_layout(pad=1.4, w_pad=2.4, rect=(0, 0.07, 1, 1))
        figure.savefig(path, facecolor=CARD, metadata={"Date": None})
        pyplot.close(figure)


def _panel(axis: Any, found: Month, provider: str) -> None:
    sent, plan = found.sent[provider], found.messages[provider]
    days = range(1, len(sent) + 1)
    axis.bar(days, found.warm[provider], bottom=sent, color=WARM, label="by the warm sources")
    axis.bar(days, sent, color=OURS, label="by the source that is warmed")
    axis.step(days, plan, where="mid", color=INK, linewidth=1.2, label="its plan")
    for verdict, (mark, colour, label) in _MARKS.items():
        at = [n for n, (one, _) in enumerate(found.verdicts[provider], 1) if one == verdict]
        heights = [plan[n - 1] + 22 for n in at]
        if at:
            axis.plot(at, heights, mark, color=colour, markersize=5, label=label)
    axis.set_title(provider.capitalize())
    axis.set_xlabel("day", color=SOFT)
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)


def _legend(axes: Any) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    return list(found.values()), list(found)
