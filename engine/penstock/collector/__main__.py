"""``python -m penstock.collector FD``: started by the supervisor, never by hand."""

import sys

from penstock.collector.process import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
