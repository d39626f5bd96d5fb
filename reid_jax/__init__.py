"""Video-based person re-identification in JAX and Flax."""

from typing import Any

__all__ = ["Run"]


def __getattr__(name: str) -> Any:
    # Imported when it is asked for: most modules need neither Flax nor Orbax.
    if name == "Run":
        from reid_jax.runs.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
