"""The one array type of all annotations: JAX or NumPy."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
