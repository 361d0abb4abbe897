"""A real IPython kernel for the tests of a file."""

from __future__ import annotations

import pytest
from support.kernel import Kernel


@pytest.fixture(scope="module")
def kernel(request, tmp_path_factory):
    """A kernel that has run the file's ``SETUP``."""
    with Kernel(tmp_path_factory.mktemp("kernel")) as started:
        assert not started.run(request.module.SETUP).error
        yield started
