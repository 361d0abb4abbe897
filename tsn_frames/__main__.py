"""``python -m tsn_frames``: the same as the command ``tsn-frames``."""

from __future__ import annotations

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
