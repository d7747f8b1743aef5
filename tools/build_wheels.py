"""Builds the wheels of both packages from the last commit, twice, and compares them byte by byte.

    python tools/build_wheels.py dist

The second build lies in another folder, with other times, another time zone and other random numbers. What is
not committed does not go into a wheel. The same Python (its zlib packs) and the version of setuptools that
`pyproject.toml` names give the same bytes anywhere.
"""

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (".", "haruspex_train")
SURROUNDINGS = ({"TZ": "UTC", "PYTHONHASHSEED": "0"}, {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1"})


def git(*arguments: str) -> bytes:
    """Return what git prints."""
    return subprocess.run(["git", "-C", str(ROOT), *arguments], stdout=subprocess.PIPE, check=True).stdout


def build(folder: Path, surroundings: dict[str, str]) -> list[Path]:
    """Build the wheels of the last commit in a folder of its own; return them in the order of `PACKAGES`."""
    source, out = folder / "source", folder / "wheels"
    with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as archive:
        # the filter makes the modes of files the same for every umask
        archive.extractall(source, filter="data")
    time = git("log", "-1", "--format=%ct").decode().strip()
    for package in PACKAGES:
        command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source / package)]
        environment = os.environ | surroundings | {"SOURCE_DATE_EPOCH": time}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\nThe wheel of {package} could not be built.")
    return sorted(out.glob("*.whl"))


def main() -> None:
    """Build, compare, and say what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        pairs = zip(*map(build, (Path(first), Path(second) / "deeper"), SURROUNDINGS), strict=True)
        out.mkdir(parents=True, exist_ok=True)
        for wheel, again in pairs:
            if wheel.read_bytes() != again.read_bytes():
                sys.exit(f"{wheel.name} differs from one build to the next.")
            digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
            print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, twice sha256:{digest}")
            shutil.copy(wheel, out)


if __name__ == "__main__":
    main()
