"""Which kernels the lab boots, and where they are.

Debian's own, unpacked into a cache by fetch_kernel.py. The cloud flavour has all that the
lab needs built in: NVMe, ext4, io_uring's zero-copy receive.
"""

import os
import pathlib
import re
import subprocess

FLAVOUR = "cloud-amd64"
PINNED = f"7.3.4+deb13-{FLAVOUR}"  # As `uname -r` says it.
# Older ones forget a multishot RECV_ZC that ran out of memory or of completions: it never
# goes on ("io_uring/zcrx: requeue multishot receives stopped by a local resource").
OLDEST = (7, 2, 10)


class NoKernel(Exception):
    pass


class Kernel:
    """One unpacked kernel: its image and its modules."""

    def __init__(self, root, release):
        self.root = root
        self.release = release
        self.image = root / "usr/lib/modules" / release / "vmlinuz"

    def load_order(self, name):
        """The files of a module and of those that it needs, in the order to load them."""
        answer = subprocess.run(
            ["modprobe", "--dirname", self.root, "--set-version", self.release,
             "--show-depends", name],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, text=True)
        if answer.returncode != 0:
            raise NoKernel(f"Linux {self.release} has no module {name}")
        # "insmod PATH" each, or "builtin NAME".
        lines = [line.split() for line in answer.stdout.splitlines()]
        return [pathlib.Path(words[1]) for words in lines if words[0] == "insmod"]


def version_of(release):
    """(7, 3, 4) for "7.3.4+deb13-cloud-amd64"."""
    return tuple(int(number) for number in re.match(r"[\d.]*\d", release).group().split("."))


def is_new_enough(release):
    return re.match(r"\d", release) is not None and version_of(release) >= OLDEST


def cache_directory():
    """Where fetch_kernel.py puts kernels."""
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(cache) / "sluice" / "kernel-lab"


def cached_kernel():
    """The pinned kernel or, without it, the newest that is there; None if there is none."""
    directory = cache_directory()
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    releases = [name for name in names if name.endswith(FLAVOUR) and is_new_enough(name)]
    if not releases:
        return None
    release = PINNED if PINNED in releases else max(releases, key=version_of)
    return Kernel(directory / release, release)
