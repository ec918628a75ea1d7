"""``python -m penstock.worker FD``: started by the supervisor, never by hand."""

import sys

from penstock import lean

if __name__ == "__main__":
    lean.load("structlog")
    from penstock.worker.process import main

    sys.exit(main(int(sys.argv[1])))
