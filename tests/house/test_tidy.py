"""Part of the style is a test: one noun a file, functions that fit on a screen."""

import ast
import pathlib
import statistics

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRODUCT = sorted([*(ROOT / "engine").rglob("*.py"), *(ROOT / "queue").rglob("*.py")])
FILE_LINES_MAX = 400
FILE_LINES_MEDIAN_MAX = 200
FUNCTION_LINES_MAX = 70

# path -> the reason why it may be longer
EXCEPTIONS: dict[str, str] = {}


def _name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_file_and_functions_are_short(path: pathlib.Path) -> None:
    text = path.read_text()
    if _name(path) not in EXCEPTIONS:
        assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{node.name}: {length} lines"


def test_the_median_file_is_short() -> None:
    lengths = [path.read_text().count("\n") for path in PRODUCT]
    assert statistics.median(lengths) <= FILE_LINES_MEDIAN_MAX


@pytest.mark.parametrize("path", PRODUCT, ids=_name)
def test_every_module_says_what_it_is_for(path: pathlib.Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
