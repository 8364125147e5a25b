"""What the guest finds in memory when it starts: files, programs and their libraries."""

import os
import re
import stat
import subprocess


class Initramfs:
    """A cpio archive ("newc"), filled file by file. Not compressed: the guest is slow, memory not.
    """

    def __init__(self):
        self._records = []
        self._names = set()

    def add_data(self, place, data, mode=0o644):
        """`place` is an absolute path in the guest; what is there first stays."""
        if self._is_new(place):
            self._add(place, stat.S_IFREG | mode, data)

    def add_link(self, place, target):
        if self._is_new(place):
            self._add(place, stat.S_IFLNK | 0o777, os.fsencode(target))

    def add_directory(self, place):
        if place != "/" and self._is_new(place):
            self._add(place, stat.S_IFDIR | 0o755, b"")

    def add_file(self, source, place):
        with open(source, "rb") as file:
            executable = os.fstat(file.fileno()).st_mode & 0o111
            self.add_data(place, file.read(), 0o755 if executable else 0o644)

    def add_program(self, source, place):
        """With the libraries that the dynamic linker finds for it here."""
        self.add_file(source, place)
        # ldd fails for what is not a dynamic program, which then needs no libraries.
        listing = subprocess.run(["ldd", source], capture_output=True, text=True).stdout
        if "not found" in listing:
            raise FileNotFoundError(f"{source} lacks a library: {listing}")
        for library in re.findall(r"(/\S+) \(0x", listing):
            self.add_file(library, library)

    def write(self, path):
        self._add("TRAILER!!!", 0, b"")
        with open(path, "wb") as file:
            file.writelines(self._records)

    def _is_new(self, place):
        if place in self._names:
            return False
        self.add_directory(os.path.dirname(place))
        self._names.add(place)
        return True

    def _add(self, place, mode, data):
        name = os.fsencode(place.lstrip("/")) + b"\0"
        number = len(self._records) + 1
        # inode, mode, uid, gid, links, mtime, size, 2 device numbers, 2 of a device file
        fields = [number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0]
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._records += [_padded(header + name), _padded(data)]


def _padded(record):
    return record + bytes(-len(record) % 4)
