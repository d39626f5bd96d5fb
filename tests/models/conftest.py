"""Fixtures that the tests of the networks share."""

import pytest

from reid_jax.models import convolution


@pytest.fixture(params=["ours", "xla"])
def convolutions(request):
    """Our convolutions and pooling for CPUs, then XLA's, which other devices run."""
    with convolution.by_xla(request.param == "xla"):
        yield
