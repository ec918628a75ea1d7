"""Haraka with one process for each core, its outbound queue, warnings only in the log."""

from __future__ import annotations

import pathlib
import shutil

from bench.harness import NotThere, Program, free_port, greets, program
from bench.peers import place

_MODULES = "haraka/node_modules"

_ROUTE = """\
'use strict'
exports.register = function () {{
  this.register_hook('mail', 'relay')
  this.register_hook('rcpt', 'relay')
}}
exports.relay = function (next, connection) {{ connection.relaying = true; next(OK) }}
exports.hook_get_mx = function (next) {{
  next(OK, {{ priority: 0, exchange: '{host}', port: {port} }})
}}
"""


def check() -> None:
    program("node")
    if not (place.PEERS / _MODULES / "Haraka/bin/haraka").exists():
        raise NotThere("Haraka is not installed (bench/peers/install.sh does it, with npm)")


class Haraka:
    """With a key, its plugin ``dkim`` signs."""

    def __init__(self, sink: str, domain: str, key: pathlib.Path | None) -> None:
        self.name = "haraka"
        self._sink, self._domain, self._key = sink, domain, key
        self._program: Program | None = None

    def start(self, directory: pathlib.Path) -> list[int]:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        modules = place.PEERS / _MODULES
        config = directory / "config"
        shutil.copytree(modules / "Haraka/config", config)
        for name in ("tls.ini", "host_list_regex"):
            (config / name).unlink(missing_ok=True)
        for name in ("plugins", "queue"):
            (directory / name).mkdir()
        host, _, hop_port = self._sink.rpartition(":")
        (directory / "plugins/to_sink.js").write_text(_ROUTE.format(host=host, port=hop_port))
        (directory / "package.json").write_text("{}")
        (directory / "node_modules").symlink_to(modules)
        settings = {
            "host_list": "127.0.0.1\n",
            "me": "mta.example\n",
            "smtp.ini": f"listen=127.0.0.1:{port}\nnodes=cpus\n",
            "outbound.ini": "enable_tls=false\nconcurrency_max=200\n",
            "log.ini": "[main]\nlevel=warn\nformat=default\n",
            "plugins": ("dkim\n" if self._key is not None else "") + "to_sink\n",
        }
        for name, text in settings.items():
            (config / name).write_text(text)
        if self._key is not None:
            self._sign(config, self._key)
        command = [program("node"), str(modules / "Haraka/bin/haraka"), "-c", str(directory)]
        environ = {"NODE_ENV": "production"}
        self._program = Program("haraka", command, directory / "haraka.log", environ)
        self._program.wait_for(lambda: greets("127.0.0.1", port), 30, "Haraka greets")
        return [self._program.pid]

    def _sign(self, config: pathlib.Path, key: pathlib.Path) -> None:
        home = config / "dkim" / self._domain
        home.mkdir(parents=True)
        (home / "selector").write_text("s1\n")
        place.traditional(key, home / "private")
        (home / "public").write_bytes(place.public(key))
        (config / "dkim.ini").write_text(
            f"[sign]\nenabled=true\nselector=s1\ndomain={self._domain}\n"
            "[verify]\nenabled=false\n[canon]\nbody=relaxed\n"
        )

    def stop(self) -> None:
        if self._program is not None and self._program.running:
            self._program.kill()
