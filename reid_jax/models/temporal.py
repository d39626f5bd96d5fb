"""Temporal models of paper 1, Sec. 3.1: they turn T frame features into one embedding.

Every module is called with `frames` [B, T, D], the per-frame features, and `maps`
[B, T, h, w, C], the feature maps whose spatial means they are. It returns
`(embedding [B, D'], attention [B, T] or None)`. Its `num_features` is D'.
To add a model, write such a module and name it in `build_temporal`.
"""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from reid_jax.arrays import Array
from reid_jax.models.layers import conv, linear, param_dtype, torch_uniform

Frames = Float[Array, "B T D"]
Maps = Float[Array, "B T h w C"]
Attention = Float[Array, "B T"]
Embedding = Float[Array, "B D2"]


class SingleFrame(nnx.Module):
    """The image baseline: the embedding is the feature of the only frame (T = 1)."""

    def __init__(self, in_features: int):
        self.num_features = in_features

    def __call__(self, frames: Frames, maps: Maps) -> tuple[Embedding, None]:
        if frames.shape[1] != 1:
            raise ValueError(
                f"temporal='none' takes clips of one frame, not {frames.shape[1]}."
            )
        return frames[:, 0], None


class Pooling(nnx.Module):
    """Mean (`kind="avg"`) or maximum (`"max"`) over the frames."""

    def __init__(self, in_features: int, kind: str):
        self.kind = kind
        self.num_features = in_features

    def __call__(self, frames: Frames, maps: Maps) -> tuple[Embedding, None]:
        pooled = frames.mean(axis=1) if self.kind == "avg" else frames.max(axis=1)
        return pooled, None


class AttentionPooling(nnx.Module):
    """Attention-weighted sum of the frames, `sum_t a_t f_t` with `sum_t a_t = 1`.

    A convolution over the whole feature map gives `attention_dim` numbers per frame.
    From these, the score of a frame is computed by a linear layer on that frame
    (`temporal_conv=False`, "spatial conv + FC") or by a convolution of width 3 over
    time ("spatial + temporal conv"). `norm` turns scores into weights: "softmax"
    (Eq. 2) or "sigmoid" (Eq. 3, sigmoid and L1).
    Differs: no further 1/T as in Eq. 1; and with `relu` a ReLU after the convolution
    and after the score, as in the published code that the tables come from.
    """

    def __init__(
        self,
        in_features: int,
        map_size: tuple[int, int],
        *,
        attention_dim: int,
        norm: str,
        relu: bool,
        temporal_conv: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.norm, self.relu, self.map_size = norm, relu, map_size
        self.num_features = in_features
        common = {"dtype": dtype, "rngs": rngs}
        self.attention_conv = conv(
            in_features, attention_dim, map_size, use_bias=True, **common
        )
        self.temporal_conv = temporal_conv
        if temporal_conv:
            self.attention_tconv = conv(
                attention_dim, 1, (3,), padding=1, use_bias=True, **common
            )
        else:
            self.attention_fc = linear(attention_dim, 1, **common)

    def __call__(self, frames: Frames, maps: Maps) -> tuple[Embedding, Attention]:
        weights = self._normalise(self.scores(maps).astype(frames.dtype))
        return jnp.einsum("bt,btd->bd", weights, frames), weights

    def scores(self, maps: Maps) -> Attention:
        """Attention scores s_t [B, T], before their normalisation over time."""
        B, T, *map_size, C = maps.shape
        if tuple(map_size) != self.map_size:
            raise ValueError(
                f"The attention was built for feature maps of {self.map_size} "
                f"(height, width), the frames give {tuple(map_size)}; set "
                "config.model.frame_size to the size of the frames."
            )
        act = nnx.relu if self.relu else lambda x: x
        spatial = self.attention_conv(maps.reshape(B * T, *map_size, C))
        spatial = act(spatial.reshape(B, T, -1))
        score = self.attention_tconv if self.temporal_conv else self.attention_fc
        return act(score(spatial)[..., 0])

    def _normalise(self, scores: Attention) -> Attention:
        if self.norm == "softmax":
            return jax.nn.softmax(scores, axis=1)
        sigmoid = jax.nn.sigmoid(scores)
        return sigmoid / sigmoid.sum(axis=1, keepdims=True)


class Recurrent(nnx.Module):
    """LSTM or GRU over the frames; the embedding is its mean or its last output.

    `cell` is "lstm" or "gru", `output` "mean" or "last".
    """

    def __init__(
        self,
        in_features: int,
        *,
        cell: str,
        rnn_dim: int,
        output: str,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.output = output
        self.num_features = rnn_dim
        layer = RecurrentLayer(in_features, rnn_dim, cell=cell, dtype=dtype, rngs=rngs)
        setattr(self, cell, layer)
        self.cell = cell

    def __call__(self, frames: Frames, maps: Maps) -> tuple[Embedding, None]:
        outputs = getattr(self, self.cell)(frames)
        return outputs.mean(axis=1) if self.output == "mean" else outputs[:, -1], None


class RecurrentLayer(nnx.Module):
    """One recurrent layer from a zero state, with torch's parameter names and layout.

    Gates are stacked i, f, g, o (LSTM) and r, z, n (GRU); both biases are parameters.
    The GRU's reset gate multiplies `W_hn h + b_hn`, as in torch and cuDNN.
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        *,
        cell: str,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ):
        self.cell, self.hidden, self.dtype = cell, hidden, dtype
        rows = {"lstm": 4, "gru": 3}[cell] * hidden
        init = torch_uniform(hidden)

        def uniform(*shape: int) -> nnx.Param:
            return nnx.Param(init(rngs.params(), shape, param_dtype(dtype)))

        self.weight_ih_l0 = uniform(rows, in_features)
        self.weight_hh_l0 = uniform(rows, hidden)
        self.bias_ih_l0 = uniform(rows)
        self.bias_hh_l0 = uniform(rows)

    def __call__(self, frames: Frames) -> Float[Array, "B T hidden"]:
        w_ih, w_hh, b_ih, b_hh = (
            w[...].astype(self.dtype)
            for w in (
                self.weight_ih_l0,
                self.weight_hh_l0,
                self.bias_ih_l0,
                self.bias_hh_l0,
            )
        )
        step = _lstm_step if self.cell == "lstm" else _gru_step
        inputs = frames.astype(self.dtype) @ w_ih.T + b_ih  # [B, T, gates]
        zero = jnp.zeros((frames.shape[0], self.hidden), self.dtype)
        carry = (zero, zero) if self.cell == "lstm" else zero

        def scan_step(carry, x):
            return step(carry, x, w_hh, b_hh)

        _, outputs = jax.lax.scan(scan_step, carry, inputs.swapaxes(0, 1))
        return outputs.swapaxes(0, 1).astype(frames.dtype)


def _lstm_step(carry, x, w_hh, b_hh):
    h, c = carry
    i, f, g, o = jnp.split(x + h @ w_hh.T + b_hh, 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def _gru_step(h, x, w_hh, b_hh):
    x_r, x_z, x_n = jnp.split(x, 3, axis=-1)
    h_r, h_z, h_n = jnp.split(h @ w_hh.T + b_hh, 3, axis=-1)
    r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
    h = (1 - z) * jnp.tanh(x_n + r * h_n) + z * h
    return h, h


ATTENTION_NORMS = ("softmax", "sigmoid")
RNN_OUTPUTS = ("mean", "last")
TEMPORAL = ("none", "avg", "max", "attn_fc", "attn_tconv", "lstm", "gru")


def build_temporal(
    config, in_features: int, map_size: tuple[int, int], *, dtype: jnp.dtype, rngs
) -> nnx.Module:
    """Builds the temporal model that `config.temporal` names (a `config.model`).

    `in_features` is D of the frames, `map_size` the height and width of their maps.
    """
    common = {"dtype": dtype, "rngs": rngs}
    match config.temporal:
        case "none":
            return SingleFrame(in_features)
        case "avg" | "max":
            return Pooling(in_features, config.temporal)
        case "attn_fc" | "attn_tconv":
            return AttentionPooling(
                in_features,
                map_size,
                attention_dim=config.attention_dim,
                norm=config.attention_norm,
                relu=config.attention_relu,
                temporal_conv=config.temporal == "attn_tconv",
                **common,
            )
        case "lstm" | "gru":
            return Recurrent(
                in_features,
                cell=config.temporal,
                rnn_dim=config.rnn_dim,
                output=config.rnn_output,
                **common,
            )
    raise ValueError(
        f"config.model.temporal={config.temporal!r} is unknown; known: {TEMPORAL}."
    )
