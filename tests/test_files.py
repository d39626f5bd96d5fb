"""reid_jax/files.py: files are whole, however many write them at a time."""

from concurrent import futures

import pytest

from reid_jax import files
from reid_jax.errors import UserError


def test_writers_at_a_time_leave_one_whole_file(tmp_path):
    path = tmp_path / "new" / "text"
    files.write_text(path, "0" * 5000)

    def write(number):
        for _ in range(20):
            with files.write_whole(path) as unfinished, unfinished.open("w") as file:
                for _ in range(5000):
                    file.write(f"{number}")

    with futures.ThreadPoolExecutor() as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        seen = []
        while not all(writer.done() for writer in writers):
            seen.append(path.read_text())
    for writer in writers:
        writer.result()
    assert path.read_text() in {f"{number}" * 5000 for number in range(4)}
    assert all(len(set(text)) == 1 and len(text) == 5000 for text in seen)
    assert [file.name for file in path.parent.iterdir()] == ["text"]


def test_a_folder_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"

    def write(text):
        with files.write_whole(path) as unfinished:
            unfinished.mkdir()
            (unfinished / "text").write_text(text)
            if text == "half":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("half")
    assert list(tmp_path.iterdir()) == []
    write("whole")
    with pytest.raises(UserError, match=r"folder cannot be written: Directory not"):
        write("another")
    assert (path / "text").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]
