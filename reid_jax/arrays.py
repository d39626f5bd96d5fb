"""The array type of all annotations: a JAX or a NumPy array."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
