"""Installs a wheel of haruspex-infer with nothing else, and annotates the example from an unrelated folder.

    python tools/try_wheel.py dist/haruspex_infer-*.whl .venv-wheel [--lowest] [--python PATH]

The environment is made anew. `--lowest` takes the lowest versions of its requirements that the wheel allows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata
from packaging.requirements import Requirement

LARGEST = 25e6
"""Bytes that the wheel may have."""

FORBIDDEN = ("torch", "tensorflow")


def requirements(wheel: Path) -> list[Requirement]:
    """Return what a wheel asks for without extras, on a machine like this one."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        found = Metadata.from_email(archive.read(name)).requires_dist or []
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def lowest(requirement: Requirement) -> str:
    """Return a requirement with the lowest version that it allows as the only one."""
    bound = next(one.version for one in requirement.specifier if one.operator == ">=")
    return f"{requirement.name}=={bound}"


def run(*command: str | Path, **options: object) -> str:
    """Run a command; return what it prints. If it fails, so does this script, with its words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\n{' '.join(map(str, command))} ended with {done.returncode}.")
    return done.stdout


def main() -> None:
    """Install, annotate, and say what was installed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("environment", type=Path)
    parser.add_argument("--lowest", action="store_true")
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    if options.wheel.stat().st_size > LARGEST:
        sys.exit(f"{options.wheel} has more than {LARGEST / 1e6:g} MB.")
    python = options.environment.resolve() / "bin" / "python"
    run(options.python, "-m", "venv", "--clear", "--without-pip", options.environment)
    pins = [lowest(one) for one in requirements(options.wheel)] if options.lowest else []
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", options.wheel, *pins)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for module in FORBIDDEN:  # found before any that is installed
            (folder / f"{module}.py").write_text(f"raise SystemExit('{module} was imported')\n")
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = python.with_name("haruspex-infer")
        said = run(command, "--example", "-o", "out", cwd=folder, env=clean | {"PYTHONPATH": name})
        summary = json.loads(next(folder.glob("out/*_summary.json")).read_text())
    versions = run(sys.executable, "-m", "pip", "--python", python, "list", "--format=freeze").split()
    size = sum(path.stat().st_size for path in python.parents[1].rglob("*") if path.is_file())
    print(f"{options.wheel.name}: {options.wheel.stat().st_size / 1e6:.1f} MB, installed {size / 1e6:.0f} MB")
    print(f"{run(python, '--version').strip()} with {', '.join(versions)}")
    print(f"network {summary['network']['name']} {summary['network']['version']} from within the wheel")
    print(said.strip())


if __name__ == "__main__":
    main()
