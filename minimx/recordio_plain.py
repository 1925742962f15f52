"""The readers and writers of csrc/recordio.cpp once more, in Python and many times slower, where nothing is compiled."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence

MAGIC = b"\x0a\x23\xd7\xce"
LIMIT = (1 << 29) - 1


class _Damage(ValueError):
    def __init__(self, retry: int, text: str):
        super().__init__(text)
        self.retry = retry


def _aligned_magic(data: bytes, start: int = 0) -> int:
    """The first multiple of four where the magic stands, -1 if there is none."""
    at = data.find(MAGIC, start)
    while at >= 0 and at % 4:
        at = data.find(MAGIC, at + 1)
    return at if at + 4 <= len(data) & ~3 else -1


class RecordReader:
    """Reads records of one or several files; see csrc/recordio.h for what it promises."""

    def __init__(self, paths: Sequence[str | bytes], part_index: int = 0, num_parts: int = 1, strict: bool = False):
        if not paths:
            raise ValueError("a reader of records needs at least one file")
        if not 0 <= part_index < num_parts:
            raise ValueError(f"part_index must be between 0 and num_parts - 1, got {part_index} of {num_parts}")
        self.strict = strict
        self.on_damage: Callable[[str], None] | None = None
        self.lost = self.lost_bytes = 0
        self.damage = ""
        self._paths = [os.fsdecode(path) for path in paths]
        self._files = [open(path, "rb") for path in self._paths]  # noqa: SIM115
        self._sizes = [os.fstat(file.fileno()).st_size for file in self._files]
        self._begins = [sum(self._sizes[:i]) for i in range(len(paths))]
        self._lock = threading.RLock()
        self._order: Iterator[int] | None = None
        self._offsets: list[int] = []
        self._file = self._at = 0
        step = (-(-self.size // num_parts) + 3) & ~3
        self._first = self._head(min(step * part_index, self.size))
        self._last = self._head(min(step * (part_index + 1), self.size))
        self.reset()

    @property
    def size(self) -> int:
        return sum(self._sizes)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def place(self, offset: int) -> str:
        i = max(i for i, begin in enumerate(self._begins) if begin <= offset)
        return f"{self._paths[i]}, offset {offset - self._begins[i]}"

    def seek(self, offset: int) -> None:
        if not 0 <= offset <= self.size:
            raise ValueError(f"offset {offset} is outside of the {self.size} bytes of {self._paths[0]}")
        with self._lock:
            self._order = None
            self._locate(offset)

    def tell(self) -> int:
        return self._begins[self._file] + self._at

    def set_order(self, offsets: Sequence[int]) -> None:
        with self._lock:
            self._offsets = list(offsets)
            self._order = iter(self._offsets)

    def reset(self) -> None:
        with self._lock:
            if self._order is not None:
                self._order = iter(self._offsets)
            self._locate(self._first)

    def read(self) -> bytes | None:
        with self._lock:
            found = self._next()
        return found and found[1]

    def read_many(self, count: int, limit: int = 1 << 62) -> list[bytes]:
        records: list[bytes] = []
        while len(records) < count and limit > 0 and (record := self.read()) is not None:
            records.append(record)
            limit -= len(record)
        return records

    def read_at(self, offset: int) -> bytes:
        with self._lock:
            self.seek(offset)
            try:
                return self._record()
            except _Damage as damage:
                self.damage = f"{self.place(self.tell())}: {damage}"
                raise ValueError(self.damage) from None

    def scan(self) -> list[int]:
        with self._lock:
            offsets = []
            while (found := self._next()) is not None:
                offsets.append(found[0])
            return offsets

    def _next(self) -> tuple[int, bytes] | None:
        while True:
            if self._order is not None:
                offset = next(self._order, None)
                if offset is None:
                    return None
                self._locate(offset)
            else:
                while self._at >= self._sizes[self._file] and self._file + 1 < len(self._files):
                    self._file += 1
                    self._at = 0
                if self._at >= self._sizes[self._file] or self.tell() >= self._last:
                    return None
            offset = self.tell()
            try:
                return offset, self._record()
            except _Damage as damage:
                self.lost += 1
                self.damage = f"{self.place(offset)}: {damage}"
                if self._order is None:
                    begin = self._at
                    self._at = self._resynchronise(damage.retry)
                    self.lost_bytes += self._at - begin
                if self.strict:
                    raise ValueError(self.damage) from None
                if self.on_damage:
                    self.on_damage(self.damage)

    def _locate(self, offset: int) -> None:
        self._file = max(i for i, begin in enumerate(self._begins) if begin <= offset)
        self._at = offset - self._begins[self._file]

    def _fetch(self, at: int, count: int) -> bytes:
        file = self._files[self._file]
        file.seek(at)
        return file.read(count)

    def _head(self, offset: int) -> int:
        """Where the part that begins at an offset has its first record."""
        self._locate(offset)
        begin, size = self._begins[self._file], self._sizes[self._file]
        at = self._at
        if at == 0 or at >= size:
            return offset
        at = (at + 3) & ~3
        rest = self._fetch(at, size - at)
        found = _aligned_magic(rest)
        while found >= 0:
            if found + 8 <= len(rest) and rest[found + 7] >> 5 <= 1:
                return begin + at + found
            found = _aligned_magic(rest, found + 4)
        return begin + size

    def _record(self) -> bytes:
        size = self._sizes[self._file]
        at = self._at
        pieces: list[bytes] = []
        while True:
            first = not pieces
            head = self._fetch(at, 8)
            if len(head) < 8:
                text = "the file ends within the head of a record" if first else "the last piece of a record is missing"
                raise _Damage(size, text)
            missing = "a piece of this record is missing"
            if head[:4] != MAGIC:
                raise _Damage(at + 1 if first else at, "no record begins here" if first else missing)
            word = int.from_bytes(head[4:], "little")
            flag, length = word >> 29, word & LIMIT
            if flag > 3 or (flag >= 2) == first:
                lone = "a later piece of a record stands here without the first one"
                raise _Damage(at + 4 if first else at, lone if first else missing)
            if length > size - at - 8:
                raise _Damage(at + 4, f"{length} bytes are announced, {size - at - 8} are left in the file")
            payload = self._fetch(at + 8, length)
            end = at + 8 + (length + 3 & ~3)
            if end < size and self._fetch(end, 4) != MAGIC and self._jumps_over_record(at + 8, end):
                raise _Damage(at + 4, f"the length of {length} bytes leads past the next record")
            at = end
            pieces.append(payload)
            if flag in (0, 3):
                self._at = min(at, size)
                return MAGIC.join(pieces)

    def _plausible(self, at: int, aligned: bool) -> bool:
        """Whether what stands behind a magic can be the head of a record."""
        size = self._sizes[self._file]
        head = self._fetch(at, 8)
        word = int.from_bytes(head[4:], "little")
        length = word & LIMIT
        if len(head) < 8 or word >> 29 > 1 or length > size - at - 8:
            return False
        end = at + 8 + (length + 3 & ~3)
        return aligned or end >= size or self._fetch(end, 4) == MAGIC

    def _jumps_over_record(self, begin: int, end: int) -> bool:
        """Whether a record begins among these bytes."""
        data = self._fetch(begin, min(end + 3, self._sizes[self._file] - 1) - begin)
        found = data.find(MAGIC)
        while found >= 0:
            if found % 4 == 0 or self._plausible(begin + found, False):
                return True
            found = data.find(MAGIC, found + 1)
        return False

    def _resynchronise(self, start: int) -> int:
        """The next place where a record begins. Bytes may be missing or too many before it."""
        size = self._sizes[self._file]
        rest = self._fetch(start, size - start)
        found = rest.find(MAGIC)
        while found >= 0:
            if self._plausible(start + found, (start + found - self._at) % 4 == 0):
                return start + found
            found = rest.find(MAGIC, found + 1)
        return size


class RecordWriter:
    """Writes records, cutting those that hold the magic."""

    def __init__(self, path: str | bytes):
        self._path = os.fsdecode(path)
        self._file = open(path, "wb")  # noqa: SIM115
        self._owner = os.getpid()
        self._written = 0

    def write(self, data: bytes) -> int:
        data = bytes(data)
        if self._file.closed:
            raise ValueError("the writer is closed")
        if self._owner != os.getpid():
            raise ValueError(f"{self._path}: was opened by another process, which alone may write it")
        if len(data) > LIMIT:
            raise ValueError(f"{self._path}: a record has at most {LIMIT} bytes, this one has {len(data)}")
        offset = self._written
        begin, flag = 0, 0
        while (cut := _aligned_magic(data, begin)) >= 0:
            self._piece(2 if flag else 1, data[begin:cut])
            begin, flag = cut + 4, 3
        self._piece(flag, data[begin:])
        return offset

    def _piece(self, flag: int, data: bytes) -> None:
        head = MAGIC + (flag << 29 | len(data)).to_bytes(4, "little")
        self._written += self._file.write(head + data + bytes(-len(data) % 4))

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._file.flush()

    def sync(self) -> None:
        self.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()
