"""Other people's mail servers, each a relay to one next hop, at its best and durable as it comes.

One file each; :mod:`bench.servers` says what a server is. They are looked for in the folder that
``PENSTOCK_PEERS`` names (``bench/out/peers`` by default; ``bench/peers/install.sh`` fills it), then
on the ``PATH``. Each has ``check()``, which raises :class:`bench.harness.NotThere` with what is
missing.
"""
