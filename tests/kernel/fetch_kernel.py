#!/usr/bin/env python3
"""Fetches the kernel that the lab boots, and its modules, into the cache.

Debian packages of trixie-backports, from the mirror that this machine is set up to use; its
own package lists and sources stay as they are. Does nothing, offline, when a kernel is there.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import kernels

SUITE = "trixie-backports"


def run(*command, directory=None):
    answer = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    if answer.returncode != 0:
        reason = (answer.stderr or answer.stdout).strip().splitlines() or ["no reason given"]
        raise kernels.NoKernel(f"{' '.join(command[:2])}: {reason[-1]}")
    return answer.stdout


class Apt:
    """apt with only the suite for a source, and with lists of its own."""

    def __init__(self, directory):
        (directory / "lists/partial").mkdir(parents=True)
        (directory / "cache/archives/partial").mkdir(parents=True)
        sources = directory / "sources.list"
        sources.write_text(f"deb {self._mirror()} {SUITE} main\n")
        self._directory = directory
        self._options = ["-q", "-o", f"Dir::Etc::sourcelist={sources}",
                         "-o", "Dir::Etc::sourceparts=/dev/null",
                         "-o", f"Dir::State::lists={directory}/lists",
                         "-o", f"Dir::Cache={directory}/cache"]
        if os.geteuid() == 0:  # The user that apt becomes may not write into our directory.
            self._options += ["-o", "APT::Sandbox::User=root"]
        run("apt-get", "update", "--error-on=any", *self._options)

    @staticmethod
    def _mirror():
        mirrors = run("apt-get", "indextargets", "--format", "$(REPO_URI)",
                      "Created-By: Packages", "Origin: Debian", "Component: main").split()
        if not mirrors:
            raise kernels.NoKernel("apt knows no mirror of Debian: run apt-get update")
        return mirrors[0]

    def releases(self):
        """Of the kernels that are packaged and new enough."""
        prefix = "linux-binary-"
        names = run("apt-cache", "pkgnames", *self._options, prefix).split()
        releases = [name.removeprefix(prefix) for name in names]
        return [release for release in releases
                if release.endswith(kernels.FLAVOUR) and kernels.is_new_enough(release)]

    def download(self, *packages):
        run("apt-get", "download", *self._options, *packages, directory=self._directory)
        return sorted(self._directory.glob("*.deb"))


def fetch(work):
    apt = Apt(work)
    releases = apt.releases()
    if not releases:
        oldest = ".".join(map(str, kernels.OLDEST))
        raise kernels.NoKernel(f"{SUITE} has no kernel {kernels.FLAVOUR} of at least {oldest}")
    release = kernels.PINNED
    if release not in releases:
        release = max(releases, key=kernels.version_of)
        print(f"Linux {kernels.PINNED} is gone from {SUITE}, taking {release}")
    root = work / release
    for package in apt.download(f"linux-binary-{release}", f"linux-modules-{release}"):
        run("dpkg", "-x", str(package), str(root))
    if not (root / "lib").exists():
        (root / "lib").symlink_to("usr/lib")  # Where depmod and modprobe look.
    run("/usr/sbin/depmod", "--basedir", str(root), release)
    if not kernels.Kernel(root, release).image.exists():
        raise kernels.NoKernel(f"the package linux-binary-{release} holds no vmlinuz")
    return root


def main():
    kernel = kernels.cached_kernel()
    if kernel is not None:
        print(f"Linux {kernel.release} is there")
        return
    cache = kernels.cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it gets there complete or not at all.
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache) as work:
        root = fetch(pathlib.Path(work))
        root.rename(cache / root.name)
        print(f"fetched Linux {root.name}")


if __name__ == "__main__":
    try:
        main()
    except (kernels.NoKernel, OSError) as error:
        sys.exit(f"fetch_kernel: no kernel for the lab: {error}")
