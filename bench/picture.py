"""The figures in ``bench/out/`` as one picture. What was not measured has no place in it.

python -m bench.picture [FILE]          default: docs/performance.svg
"""

from __future__ import annotations

import math
import pathlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

from bench import report
from bench.harness import ROOT

DOCS = ROOT / "docs/performance.svg"

# on a card of its own, so that the page around it may be of any colour
CARD, INK, SOFT, GRID = "#ffffff", "#1f2933", "#616e7c", "#e4e7eb"
OURS, _OTHERS = "#0b6e99", "#b8c4ce"
_LOADS = ("#9bd0e3", "#3a9bc1", "#0b4f6c")
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": INK,
    "svg.hashsalt": "penstock",
}

Panel = Callable[[Any], None]


def draw(path: pathlib.Path) -> None:
    """Draw all that was measured. Raises ``ImportError`` without matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = _panels()
    if not panels:
        return
    with pyplot.rc_context(STYLE):
        rows = (len(panels) + 1) // 2
        figure, axes = pyplot.subplots(
            rows, 2, figsize=(10, 3.1 * rows), facecolor=CARD, squeeze=False
        )
        for panel, axis in zip(panels, axes.flat, strict=False):
            panel(axis)
        for axis in axes.flat[len(panels) :]:
            axis.axis("off")
        figure.tight_layout(pad=1.6, h_pad=2.4, w_pad=2.6)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, facecolor=CARD, metadata=metadata)
        pyplot.close(figure)


def _panels() -> list[Panel]:
    found: list[Panel] = []
    relay = report.load("relay")
    if relay is not None:
        for what, result in relay["results"].items():
            middle = result["median"]
            found.append(_bars(middle, "messages_per_s", f"Messages a second, {what}", "{:,.0f}"))
            found.append(_bars(middle, "cpu_ms", f"CPU ms a message, {what}", "{:.2f}"))
    latency = report.load("latency")
    if latency is not None:
        found.append(_latency(latency, "accept_ms", "Latency until the 250, durable"))
        found.append(_latency(latency, "end_to_end_ms", "Latency until the next hop has it"))
    scale = report.load("scale")
    if scale is not None and scale.get("depth"):
        found.append(_depth(scale["depth"]))
    tls = report.load("tls")
    if tls is not None:
        found.append(_bars(tls["results"], "cpu_ms", "CPU ms a message over STARTTLS", "{:.2f}"))
    return found


def _bars(middle: Mapping[str, Mapping[str, float]], figure: str, title: str, form: str) -> Panel:
    """One bar for each server, ours on top; each with its figure."""

    def panel(axis: Any) -> None:
        names = list(middle)
        values = [middle[name][figure] for name in names]
        ours = [name == "penstock" or name.endswith("sessions kept") for name in names]
        colours = [OURS if one else _OTHERS for one in ours]
        places = range(len(names), 0, -1)
        axis.barh(places, values, color=colours, height=0.66)
        for place, value in zip(places, values, strict=True):
            axis.text(value, place, "  " + form.format(value), va="center", fontsize=8.5, color=INK)
        axis.set_yticks(list(places), [_label(name) for name in names])
        axis.set_xlim(0, max(values) * 1.16)
        axis.set_title(title)
        axis.tick_params(length=0)
        axis.xaxis.set_visible(False)
        axis.spines["bottom"].set_visible(False)

    return panel


def _label(name: str) -> str:
    """Long names in two lines."""
    for between in (" + ", ", "):
        if len(name) > 18 and between in name:
            first, _, rest = name.partition(between)
            return f"{first}{between.rstrip()}\n{rest}"
    return name


def _latency(latency: Mapping[str, Any], figure: str, title: str) -> Panel:
    """Percentiles, a group of bars each, one for each load."""

    def panel(axis: Any) -> None:
        loads = latency["loads"]
        names = list(loads[0][figure])
        width = 0.8 / len(loads)
        for number, (load, colour) in enumerate(zip(loads, _LOADS, strict=False)):
            values = [load[figure][name] for name in names]
            places = [at + (number - (len(loads) - 1) / 2) * width for at in range(len(names))]
            label = f"{load['share']:.0%} of the maximum, {load['rate']:,.0f}/s"
            axis.bar(places, values, width * 0.92, color=colour, label=label)
            for place, value in zip(places, values, strict=True):
                axis.text(
                    place,
                    value,
                    f"{value:,.0f}" if value >= 10 else f"{value:.1f}",
                    ha="center",
                    va="bottom",
                    fontsize=7,
                    color=SOFT,
                )
        axis.set_yscale("log")
        axis.set_ylabel("milliseconds")
        axis.set_xticks(range(len(names)), names)
        axis.tick_params(axis="x", length=0, labelcolor=INK)
        axis.tick_params(axis="y", labelcolor=SOFT)
        axis.yaxis.set_major_formatter("{x:g}")
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.set_title(title)
        axis.legend(frameon=False, fontsize=7.5, loc="upper left")
        least = min(load[figure][names[0]] for load in loads)
        most = max(load[figure]["max"] for load in loads)
        axis.set_ylim(10 ** math.floor(math.log10(least) - 0.1), most * 8)
        axis.tick_params(axis="y", which="both", length=0)

    return panel


def _depth(rows: list[Mapping[str, float]]) -> Panel:
    """Rates over the depth of the queue."""

    def panel(axis: Any) -> None:
        queued = [row["queued"] for row in rows]
        for key, label, colour in (
            ("accept_per_s", "accepted", _LOADS[1]),
            ("deliver_per_s", "delivered", _LOADS[2]),
        ):
            axis.plot(queued, [row[key] for row in rows], "o-", color=colour, label=label)
        axis.set_xscale("log")
        axis.set_ylim(0, 1.15 * max(row["accept_per_s"] for row in rows))
        axis.set_title("Messages a second, deep queue")
        axis.set_xlabel("messages in the queue already")
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.tick_params(which="both", labelcolor=SOFT, length=0)
        axis.legend(frameon=False, fontsize=8, loc="lower left")

    return panel


def main() -> int:
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    draw(path)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
