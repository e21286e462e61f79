"""Files are written whole or not at all, whoever else writes at the same time."""

import multiprocessing
import os
from pathlib import Path

import pytest

from gpt2lib.files import replacing


def write_often(path, letter, times):
    for _ in range(times):
        with replacing(path) as temporary:
            temporary.write_text(letter * 50_000)


def test_of_several_writers_the_last_one_wins_whole(tmp_path):
    path = tmp_path / "file.txt"
    writers = [
        multiprocessing.get_context("spawn").Process(target=write_often, args=(path, letter, 100))
        for letter in "abc"
    ]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            text = path.read_text()
            assert len(text) == 50_000 and len(set(text)) == 1
            seen.add(text[0])
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert seen and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
@pytest.mark.parametrize("umask, mode", [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_mode_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with replacing(tmp_path / "file") as temporary:
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors does
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode


def stops(path: Path):
    path.write_text("half")
    raise KeyboardInterrupt


@pytest.mark.parametrize("write", [stops, lambda path: None], ids=["interrupted", "nothing written"])
def test_a_block_that_fails_changes_nothing(tmp_path, write):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises((KeyboardInterrupt, FileNotFoundError)):
        with replacing(path) as temporary:
            write(temporary)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
