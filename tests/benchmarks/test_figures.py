"""What becomes of measurements: percentiles, verdicts, the page."""

from __future__ import annotations

import json

import pytest
from bench import page, picture, report, targets
from bench.latency import percentiles_ms


def test_percentiles_by_the_nearest_rank():
    found = percentiles_ms([n * 1_000_000 for n in range(1000, 0, -1)])
    assert found == {"p50": 500.0, "p90": 900.0, "p99": 990.0, "p99.9": 999.0, "max": 1000.0}
    assert set(percentiles_ms([2_000_000]).values()) == {2.0}


def rates(**of):
    return {
        name.replace("_", " "): {"messages_per_s": rate, "cpu_ms": cpu, "peak_mib": 1.0}
        for name, (rate, cpu) in of.items()
    }


def test_verdicts_of_the_relay():
    found = targets.compare_rates(
        rates(penstock=(500.0, 1.0), postfix=(100.0, 6.9), exim=(501.0, 9.0)), signed=False
    )
    assert [(one.target, one.met) for one in found] == [
        ("5x", True),
        ("1/7", False),
        ("1x", False),
    ]
    assert str(found[0]) == "5.00x the messages/s of postfix, target 5x: met"
    found = targets.compare_rates(
        rates(penstock=(399.0, 1.0), haraka=(100.0, 9.0)), signed=True, how=", compiled"
    )
    assert [(one.target, one.met) for one in found] == [("4x", False)]
    assert found[0].what == "3.99x the messages/s of haraka, signed, compiled"


def test_verdicts_of_latency():
    assert [one.met for one in targets.latency(30.0, 150.1)] == [True, False]


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """Figures of everything, in a folder of their own."""
    monkeypatch.setattr(report, "OUT", tmp_path)
    middle = rates(penstock=(500.0, 1.0), postfix=(100.0, 6.9))
    rounds = {name: [{**one, "foreign": 0.1}] for name, one in middle.items()}
    verdicts = [{"what": "5x postfix", "target": "5x", "met": True}]
    result = {"median": middle, "rounds": rounds, "missing": {"exim": "not installed"}}
    report.save("relay", {"rounds": 1, "results": {"plain": result}, "verdicts": verdicts})
    steps = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "p99.9": 4.0, "max": 5.0}
    load = {"share": 0.5, "rate": 100.0, "accept_ms": steps, "dot_ms": steps}
    loads = [{**load, "end_to_end_ms": steps}]
    late = {"maximum_per_s": 200.0, "workers": 2, "loads": loads, "verdicts": verdicts}
    report.save("latency", late)
    call = {"kind": "raw", "way": "held", "target": 1500, "a_core_per_s": 2069.0, "per_s": 1900.0}
    report.save("inject", {"results": [{**call, "cpu_us": 483.0, "paced_ms": steps}]})
    return tmp_path


def test_the_page_keeps_what_people_wrote(figures, monkeypatch):
    path = figures / "performance.md"
    path.write_text(f"# Mine\n{page.BEGIN}\nold\n{page.END}\nmine too\n")
    monkeypatch.setattr(page, "PAGE", path)
    page.write()
    first = path.read_text()
    page.write()
    assert path.read_text() == first
    assert first.startswith("# Mine\n")
    assert first.endswith("mine too\n")
    assert "old" not in first
    assert "| postfix | 100 |" in first
    assert "Not there: exim" in first
    assert "| 50%, 100/s | end of data | 1.0 | 2.0 | 3.0 | 4.0 | 5.0 |" in first
    path.write_text("no marks")
    with pytest.raises(ValueError, match="marks"):
        page.write()


def test_the_pages_own_marks_are_there():
    text = page.PAGE.read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1


def test_the_machine_is_named_but_not_its_owner(figures):
    import socket

    text = json.dumps(report.machine())
    assert socket.gethostname() not in text
    assert report.machine()["cpu"] != "0"


def test_the_picture_is_drawn(figures):
    pytest.importorskip("matplotlib", reason="comes with penstock[bench]")
    picture.draw(figures / "p.svg")
    assert (figures / "p.svg").read_text().lstrip().startswith("<?xml")
