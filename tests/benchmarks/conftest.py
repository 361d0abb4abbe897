"""What is measured in seconds: marked, so that only ``make pace`` runs it."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
collect_ignore = ["bench.py", "contenders.py", "transports.py", "warm.py"]  # programs, which `make bench` runs


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.benchmark)
