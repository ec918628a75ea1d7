"""A copy of the package with its hot rooms compiled, to be measured beside the plain one."""

from __future__ import annotations

import pathlib
import shutil

import penstock
from bench import report
from bench.harness import NotThere
from penstock import native

PACKAGE = pathlib.Path(penstock.__file__).resolve().parent


def copy(into: pathlib.Path) -> pathlib.Path:
    """The folder to put on ``PYTHONPATH``. Raises :class:`NotThere` where it cannot be compiled."""
    target = into / PACKAGE.name
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(PACKAGE, target, ignore=ignored)
    report.console().print(f"Compiling {len(native.MODULES)} modules.")
    if native.build(target):
        raise NotThere("the package could not be compiled (make native says why)")
    return into
