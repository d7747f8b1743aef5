"""Lists everything that a wheel of haruspex-infer brings: what it installs, and what lies inside (CycloneDX).

    python tools/sbom.py .venv-wheel dist/haruspex-infer.cdx.json

The environment must hold that wheel and nothing else. The list is checked against the schema of CycloneDX.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import onnx
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from haruspex_infer import __version__
from haruspex_infer.network import METADATA_KEY, shipped_networks

ROOT = Path(__file__).parents[1]
INFER = ROOT / "haruspex_infer"


def installed(environment: Path) -> dict[str, Any]:
    """List the packages of an environment, with haruspex-infer as what they are there for."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "list.json"
        command = ["cyclonedx_py", "environment", "--output-reproducible", "--pyproject"]
        python = environment / "bin" / "python"
        command += [str(ROOT / "pyproject.toml"), "--output-file", str(out), str(python)]
        subprocess.run([sys.executable, "-m", *command], check=True)
        found: dict[str, Any] = json.loads(out.read_text())
    return found


def inside() -> list[dict[str, Any]]:
    """List what others made, and the networks, that lie inside the wheel."""
    viewer = INFER / "report" / "page" / "ngl.js"
    version = re.findall(r'\.Version="([\d.]+)"', viewer.read_text(encoding="utf-8"))[-1]
    found = [_component("library", "ngl", version, viewer, "MIT") | {"purl": f"pkg:npm/ngl@{version}"}]
    for name, path in shipped_networks().items():
        entries = {one.key: one.value for one in onnx.load(path).metadata_props}
        about = json.loads(entries[METADATA_KEY])
        found.append(_component("machine-learning-model", name, about["version"], path, "BSD-3-Clause"))
    example = INFER / "example" / "emd_11007_crop.map.gz"
    return [*found, _component("data", "EMD-11007, a crop", "1", example, "CC0-1.0")]


def _component(kind: str, name: str, version: str, path: Path, licence: str) -> dict[str, Any]:
    return {
        "type": kind,
        "bom-ref": f"{name}=={version}",
        "name": name,
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(path.read_bytes()).hexdigest()}],
        "licenses": [{"license": {"id": licence}}],
    }


def main() -> None:
    """Write the list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environment", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    found, additions = installed(options.environment), inside()
    root = found["metadata"]["component"]
    root["version"] = __version__
    found["components"] += additions
    edge = next(one for one in found["dependencies"] if one["ref"] == root["bom-ref"])
    edge["dependsOn"] += [one["bom-ref"] for one in additions]
    found["dependencies"] += [{"ref": one["bom-ref"]} for one in additions]
    text = json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.from_version(found["specVersion"])).validate_str(text):
        sys.exit(f"The list is no CycloneDX: {fault}")
    options.out.write_text(text, encoding="utf-8")
    print(f"{options.out}: {len(found['components'])} components")


if __name__ == "__main__":
    main()
