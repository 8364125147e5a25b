"""A log of a disk's writes, and what the disk holds when power is lost at some point of it.

The log is dm-log-writes' (Documentation/admin-guide/device-mapper/log-writes.rst in the kernel's
sources). Its order is what makes it useful: a write enters it as completed, but only together with
the next flush that was *submitted* after that, directly before this flush; one with FUA enters it
when it has completed, a mark when it is made. So, between one flush and the next:

  - all up to the first flush was on stable storage when this flush completed;
  - a FUA write is from its place on;
  - every other write had completed before the second flush was submitted: in that moment the
    disk's cache may have written it, or not, or a part.
"""

import dataclasses
import os
import struct

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8

TORN_AT = 512  # The least that a disk writes as a whole.


@dataclasses.dataclass
class Entry:
    flags: int
    at: int         # In bytes, on the disk.
    size: int
    data_at: int    # In the log.
    mark: str = ""

    def is_volatile_write(self):
        return self.size > 0 and not self.flags & (FUA | DISCARD | MARK)


class Log:

    def __init__(self, path):
        self._file = open(path, "rb")
        magic, version, count, sector = struct.unpack("<QQQI", self._file.read(28))
        if magic != MAGIC or version != 1:
            raise ValueError(f"{path} is not a log of writes")
        self.entries = []
        at = sector
        for _ in range(count):
            entry = self._read_entry(at, sector)
            self.entries.append(entry)
            at = entry.data_at + (0 if entry.flags & (DISCARD | MARK) else entry.size)

    def _read_entry(self, at, sector):
        self._file.seek(at)
        block = self._file.read(sector)
        first, count, flags, extra = struct.unpack_from("<QQQQ", block)
        mark = block[32:32 + extra].decode() if flags & MARK else ""
        return Entry(flags, first * sector, count * sector, at + sector, mark)

    def data(self, entry):
        self._file.seek(entry.data_at)
        return self._file.read(entry.size)

    def close(self):
        self._file.close()


@dataclasses.dataclass
class Cut:
    """A moment in which power is lost: before entry `end` is there."""
    flushed: int  # The entries before this one were flushed: those up to the last flush.
    end: int
    # Of the writes since that had completed, the part that the disk's cache had written, and the
    # part of these that it had in part; None: not even known to have completed.
    kept: float | None = None
    torn: float = 0.0


class Cuts:
    """The moments of a log that can be chosen."""

    def __init__(self, log, first):
        """From entry `first` on."""
        self._entries = log.entries
        self._flushes = [number for number, entry in enumerate(log.entries)
                         if entry.flags & FLUSH and number >= first]

    def _last_flush_before(self, end):
        return max((number for number in self._flushes if number < end), default=None)

    def choose(self, random):
        """One in three right after a mark, with nothing but what was flushed: what had just been
        said is all that is known. One in three anywhere, likewise; a FUA write is then torn. One
        in three before a flush, with a part of what this flush was to make durable."""
        kind = random.randrange(3)
        if kind == 2:
            before, end = random.choice(list(zip(self._flushes, self._flushes[1:])))
            kept = random.choice([0.1, 0.5, 0.9, 1.0])
            return Cut(before + 1, end, kept, random.choice([0.0, 0.2]))
        marks = [number for number, entry in enumerate(self._entries)
                 if entry.flags & MARK and entry.mark.isdigit()]
        first = self._flushes[0] + 1
        end = (random.choice([mark for mark in marks if mark > first]) + 1 if kind == 0 else
               random.randrange(first + 1, len(self._entries)))
        return Cut(self._last_flush_before(end) + 1, end)

    def last_mark(self, cut):
        """The number of the last mark before the cut; 0: none."""
        return max((int(entry.mark) for entry in self._entries[:cut.end]
                    if entry.flags & MARK and entry.mark.isdigit()), default=0)


class Disk:
    """What is on stable storage, from the log's begin up to ever later cuts."""

    def __init__(self, log, path, size):
        self._log = log
        self._done = 0
        self._path = path
        with open(path, "wb") as image:
            image.truncate(size)

    def lose_power(self, cut, path, random):
        """Writes what the disk holds after it to a file. Returns how many bytes of completed
        writes are not there."""
        entries = self._log.entries
        with open(self._path, "r+b") as image:
            for entry in entries[self._done:cut.flushed]:
                self._apply(image, entry)
        self._done = max(self._done, cut.flushed)
        copy_sparse(self._path, path)
        lost = 0
        with open(path, "r+b") as image:
            for entry in entries[cut.flushed:cut.end]:
                if not entry.is_volatile_write():
                    self._apply(image, entry)
                elif cut.kept is not None:
                    lost += self._apply_perhaps(image, entry, cut, random)
            if cut.kept is None and cut.end < len(entries) and entries[cut.end].flags & FUA:
                self._apply_torn(image, entries[cut.end], random)
        return lost

    def _apply(self, image, entry):
        if entry.size == 0 or entry.flags & MARK:
            return
        image.seek(entry.at)
        image.write(bytes(entry.size) if entry.flags & DISCARD else self._log.data(entry))

    def _apply_perhaps(self, image, entry, cut, random):
        if random.random() >= cut.kept:
            return entry.size
        if random.random() < cut.torn:
            return self._apply_torn(image, entry, random)
        self._apply(image, entry)
        return 0

    def _apply_torn(self, image, entry, random):
        data = self._log.data(entry)
        lost = 0
        for at in range(0, entry.size, TORN_AT):
            if random.random() < 0.5:
                image.seek(entry.at + at)
                image.write(data[at:at + TORN_AT])
            else:
                lost += TORN_AT
        return lost


def copy_sparse(source, target):
    """Only what was ever written."""
    with open(source, "rb") as whence, open(target, "wb") as to:
        size = os.fstat(whence.fileno()).st_size
        to.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(whence.fileno(), at, os.SEEK_DATA)
            except OSError:  # No more data.
                break
            end = os.lseek(whence.fileno(), at, os.SEEK_HOLE)
            while at < end:
                at += os.copy_file_range(whence.fileno(), to.fileno(), end - at, at, at)
