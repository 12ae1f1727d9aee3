"""The files of a run folder, which may come from elsewhere: none is a link, so none leads to a file outside it."""

from __future__ import annotations

from pathlib import Path

from reports.records.files import file_errors, read_file, write_whole


def check_within(folder: Path, path: Path) -> None:
    """Raise `ValueError` unless `path`, which need not exist, is a regular file or a folder that lies in `folder`.

    `folder` itself may be a link. Below it nothing is: neither the file nor a folder on the way to it.
    """
    with file_errors(path, "read"):
        link = next((part for part in _below(folder, path) if part.is_symlink()), None)
        if link is not None:
            why = "is a link, which is neither read nor written to: put a copy of the file in its place"
            raise ValueError(f"{link} {why}")
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ValueError(f"{path} is neither a file nor a folder: delete it")


def read_within(folder: Path, path: Path) -> bytes:
    """The content of a file of `folder`; raises `ValueError` as `check_within` does, and where it cannot be read."""
    check_within(folder, path)
    with file_errors(path, "read"):
        return read_file(path)


def write_within(folder: Path, path: Path, content: bytes) -> None:
    """Write a file of `folder` as a whole (`write_whole`); raises `ValueError` as `check_within` does."""
    check_within(folder, path)
    write_whole(path, content)


def _below(folder: Path, path: Path) -> list[Path]:
    """`path` and the folders between it and `folder`, the outermost first."""
    parts = path.relative_to(folder).parts
    return [folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]
