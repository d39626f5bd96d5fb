"""Folders laid out as datasets are published, of tiny images: for tests."""

import io

import PIL.Image


def tiny_png(shade: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (4, 8), (shade % 256,) * 3).save(buffer, "PNG")
    return buffer.getvalue()
