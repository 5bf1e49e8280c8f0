"""Nothing half-written, nothing removed by mistake."""

import os

import pytest

from multiner.files import OutsideError, new_file, new_folder, remove_folders


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "sub" / "out.txt"
    with new_file(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_after_an_error_the_old_file_stands_and_no_other(tmp_path):
    path = tmp_path / "out.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), new_file(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(RuntimeError), new_folder(path) as unfinished:
        (unfinished / "half").touch()
        raise RuntimeError
    assert [file.name for file in path.iterdir()] == ["old"]
    with new_folder(path) as unfinished:
        (unfinished / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_written_can_be_read_by_whom_the_umask_lets(tmp_path):
    before = os.umask(0o022)
    try:
        with new_folder(tmp_path / "folder") as unfinished:
            (unfinished / "private").touch(mode=0o600)
        with new_file(tmp_path / "file"):
            pass
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777 for path in (tmp_path / "folder", tmp_path / "folder/private", tmp_path / "file")
    ]
    assert modes == [0o755, 0o644, 0o644]


def test_only_folders_inside_are_removed(tmp_path):
    inside = tmp_path / "project"
    (inside / "metrics" / "deep").mkdir(parents=True)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(OutsideError, match="does not lie in"):
        remove_folders([inside / "metrics", inside / ".." / "other"], inside)
    assert (inside / "metrics").is_dir() and other.is_dir()
    assert remove_folders([inside / "metrics", inside / "absent"], inside) == [inside / "metrics"]
    assert not (inside / "metrics").exists()
