"""Builds pages that need no other file: template settings, embedded pictures."""

import base64
import io

import jinja2
import numpy as np
import PIL.Image

_JPEG_QUALITY = 88


def environment(*, autoescape: bool = True) -> jinja2.Environment:
    """A template environment that fails on missing names and escapes what it prints."""
    page = jinja2.Environment(
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["percent"] = lambda fraction: f"{100 * fraction:.1f}"
    return page


def jpeg(image: np.ndarray) -> bytes:
    """The bytes of a JPEG file with an image, uint8 [h, w, 3]."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def data_uri(content: bytes, subtype: str) -> str:
    """An image file's bytes as a data: address; `subtype` is "png" or "jpeg"."""
    return f"data:image/{subtype};base64,{base64.b64encode(content).decode()}"
