"""What the tests of the networks share."""

import jax
import pytest

from reid_jax.models import convolution


@pytest.fixture(params=["ours", "xla"])
def convolutions(request, monkeypatch):
    """Our convolutions and pooling for CPUs, then XLA's, which other devices run."""
    if request.param == "ours":
        yield
        return
    monkeypatch.setattr(convolution, "is_ours", lambda: False)
    jax.clear_caches()  # jax.jit does not see the difference
    yield
    jax.clear_caches()
