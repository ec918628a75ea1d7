"""``python -m penstock.collector FD``: started by the supervisor, never by hand."""

import sys

from penstock import lean

if __name__ == "__main__":
    lean.load("structlog", "httpx")
    from penstock.collector.process import main

    sys.exit(main(int(sys.argv[1])))
