"""Networks in float32 against the original implementations (tests/golden)."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from reid_jax import losses
from reid_jax.models import torch_weights
from tests import reference
from tests.golden import weights


@pytest.mark.parametrize("convolutions", ["xla"], indirect=True)
def test_the_image_network(convolutions):
    # test_parity_float64.py has the 2-D trunk on our convolutions.
    model, golden = reference.network("image"), reference.golden("image")
    clips = reference.clips("image", 1, 2, 4)
    reference.check_outputs("image", model, clips, golden, 1e-4, 1e-5)


@pytest.mark.parametrize(
    "convolutions",
    [pytest.param("ours", marks=pytest.mark.slow), "xla"],
    indirect=True,
)
def test_the_3d_network(convolutions):
    # test_convolution.py compares our convolutions with XLA's.
    model = reference.network("resnet3d50")
    golden = reference.without_time(reference.golden("resnet3d50"), 4)
    clips = reference.clips("resnet3d50", 1, 2, 4)
    reference.check_outputs(
        "resnet3d50", model, clips, golden, 1e-4, 1e-5, modes=("eval",)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", reference.NETWORKS)
def test_outputs_and_statistics(name, convolutions):
    # Reached in float32: 6e-6 on embeddings, 2e-6 on logits, 5e-6 on attention and
    # 5e-7 on the statistics, of the largest magnitude.
    model, golden = reference.network(name), reference.golden(name)
    if name == "c3d":
        clips = reference.clips(name, 3, 2, 16, 112, 112)
        reference.check_c3d(model, clips, golden, 1e-4)
    elif name == "resnet3d50":
        for T in (4, 8):
            clips = reference.clips(name, 1, 2, T)
            arrays = reference.without_time(golden, T)
            reference.check_outputs(name, model, clips, arrays, 1e-4, 1e-5)
    else:
        clips = reference.clips(name, 1, 2, 4)
        reference.check_outputs(name, model, clips, golden, 1e-4, 1e-5)


def _loss(params, rest, graphdef, clips, labels, smoothing):
    model = nnx.merge(graphdef, params, rest, copy=True)
    out = model(clips, train=True)
    cross_entropy = losses.softmax_cross_entropy(
        out.logits, labels, label_smoothing=smoothing
    )
    triplet = losses.batch_hard_triplet(out.embedding, labels, 0.3)
    return cross_entropy + triplet, jnp.stack([cross_entropy, triplet])


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in reference.NETWORKS if n != "c3d"])
def test_losses_and_gradients(name, convolutions):
    # Reached in float32: 2e-6 on the losses; gradient norms 5e-5 in the median.
    graphdef, params, rest = nnx.split(reference.network(name), nnx.Param, ...)
    golden = reference.golden(name)
    clips = reference.clips(name, 2, 4, 2)
    labels = jnp.array([7, 7, 311, 311])
    gradient = jax.jit(
        jax.value_and_grad(_loss, has_aux=True), static_argnames=("graphdef",)
    )
    for key, smoothing in (("eps01", 0.1), ("eps0", 0.0)):
        (loss, parts), grads = gradient(
            params,
            rest,
            graphdef=graphdef,
            clips=clips,
            labels=labels,
            smoothing=smoothing,
        )
        actual = np.array([loss, *parts])
        np.testing.assert_allclose(actual, golden[f"loss.{key}"], rtol=1e-4, atol=1e-5)
        model = nnx.merge(graphdef, grads, rest)
        by_name = torch_weights.export_torch_weights(model)
        norms = golden[f"grad.{key}"][:, 0]
        # A softmax ignores a constant, so this gradient is zero but for rounding.
        floor = 1e-5 * norms.max()
        for parameter, norm in zip(golden["names"], norms, strict=True):
            actual = np.linalg.norm(by_name[str(parameter)])
            assert abs(actual - norm) <= 1e-2 * norm + floor, parameter


def test_weights_by_rule_are_drawn_as_in_the_reference():
    path = reference.MODELS.parent / "selfcheck.json"
    expected = json.loads(path.read_text())["weights"]["resnet50_ta_tconv"]
    drawn = weights.state_dict("resnet50_ta_tconv").values()
    total = sum(float(value.sum(dtype=np.float64)) for value in drawn)
    np.testing.assert_allclose(total, expected["sum"], rtol=1e-9)
