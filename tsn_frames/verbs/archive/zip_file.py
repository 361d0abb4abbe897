"""The zip file of an archive: members are written into a temporary file, and read with their names and sizes checked first."""

from __future__ import annotations

import re
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...engine.storage.file_replacement import replacement
from ...errors import CacheError

MAX_MEMBERS = 1000
_FOLDERS = ("frames", "tables", "files")
_NAME = re.compile(r"(?:(?:frames|tables|files)/)?[\w(][\w .,;()+=@&'~#-]{0,200}")
_DAMAGE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError, zlib.error, struct.error)


def safe_name(name: str) -> str:
    """Return a file's name as a member may be called.

    >>> safe_name("reviews: ann?.jsonl")
    'reviews_ ann_.jsonl'
    """
    made = re.sub(r"[^\w .,;()+=@&'~#-]", "_", name)[-150:].strip(" .")
    return made if re.match(r"[\w(]", made) else f"_{made}"


@contextmanager
def written(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a new zip file, which replaces an existing one when the block has ended without an error."""
    try:
        with replacement(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            yield file
    except OSError as error:
        raise CacheError(f"{path} can't be written: {error}") from None


class ArchiveFile:
    """An archive open for reading. A damaged or hostile file raises :class:`CacheError` and writes nothing outside of the folder."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise CacheError(f"there is no file {path}")
        self._path = path
        with self._errors():
            self._file = zipfile.ZipFile(path)
        self._infos = {info.filename: info for info in self._file.infolist() if not info.is_dir()}

    def read(self, name: str) -> bytes:
        """Return the content of a member."""
        with self._errors():
            return self._file.read(self._info(name))

    def extract(self, name: str, folder: Path) -> Path:
        """Write a member to its place in a folder and return that."""
        target = folder / name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._errors(), self._file.open(self._info(name)) as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy)
        return target

    def attachments(self) -> list[str]:
        """Return the names of frames, tables and files."""
        return [name for name in self._infos if name.startswith(_FOLDERS)]

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def check(self, max_bytes: int) -> None:
        """Raise where there are members that no archive has, or more bytes than ``max_bytes``."""
        infos = self._file.infolist()
        if len(infos) > MAX_MEMBERS:
            raise CacheError(
                f"{self._path} has {len(infos):,} members, and an archive has at most {MAX_MEMBERS:,}: it is not extracted"
            )
        for info in infos:
            if not info.is_dir() and not _NAME.fullmatch(info.filename):
                raise CacheError(f"{self._path} has a member {info.filename[:80]!r}, which no archive has: it is not extracted")
        if len({name.casefold() for name in self._infos}) < sum(not info.is_dir() for info in infos):
            raise CacheError(f"{self._path} has two members of one name: it is not extracted")
        total = sum(info.file_size for info in infos)
        if total > max_bytes:
            raise CacheError(
                f"{self._path} is {total:,} bytes when it is extracted, and max_bytes is {max_bytes:,}: "
                "give a larger max_bytes= if you trust it"
            )

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self._infos:
            raise CacheError(f"{self._path} is not an archive of tsn_frames: it has no {name}")
        return self._infos[name]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise CacheError(
                f"{self._path} is damaged, or not an archive of tsn_frames: {error or type(error).__name__}"
            ) from None
