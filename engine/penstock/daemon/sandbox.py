"""The sandbox: fake providers in a child process, so that no mail can leave the machine."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any


class Sandbox:
    """An async context; ``world`` is what the child announced: names, addresses, ports."""

    def __init__(self) -> None:
        self.world: dict[str, Any] = {}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Sandbox:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "penstock.sim",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 30)
        if not line:
            raise RuntimeError("the sandbox's fake providers did not start")
        self.world = json.loads(line)
        return self

    async def __aexit__(self, *exc: object) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()  # the child ends when its input does, also if we are killed
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()
