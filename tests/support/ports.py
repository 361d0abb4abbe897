"""Ports for programs that can't choose one themselves."""

from __future__ import annotations

import socket


def free_port():
    """A port of this machine that is free now; another program may take it before yours does."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
