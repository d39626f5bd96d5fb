import contextlib

import pytest

from tests import forked


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """Runs programs without the seconds of their imports."""
    with contextlib.closing(forked.Programs(tmp_path_factory.mktemp("said"))) as runs:
        yield runs
