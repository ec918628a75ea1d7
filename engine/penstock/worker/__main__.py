"""``python -m penstock.worker FD``: started by the supervisor, never by hand."""

import sys

from penstock.worker.process import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
