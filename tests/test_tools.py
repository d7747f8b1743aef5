"""The tools behind `make wheels` and `make audit`: what goes into the list, and what is said of it."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPONENTS = {"components": [{"purl": "pkg:pypi/one@1"}, {"name": "a network"}, {"purl": "pkg:npm/two@2"}]}


@pytest.fixture
def database():
    """An address that answers as `answers` says, and what it was asked, in `asked`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["Content-Length"])
            made.asked = [one["package"]["purl"] for one in json.loads(self.rfile.read(size))["queries"]]
            self.send_response(made.status)
            self.end_headers()
            self.wfile.write(made.body if made.body else json.dumps({"results": made.results}).encode())

        def log_message(self, *_):
            pass

    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.status, made.body, made.url = 200, b"", f"http://127.0.0.1:{made.server_port}"
    made.results = [{"vulns": [{"id": "KNOWN"}]}, {}, {}]
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def audit(folder, address):
    (folder / "list.json").write_text(json.dumps(COMPONENTS))
    command = [sys.executable, ROOT / "tools" / "audit.py", folder / "list.json", "--database", address]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def test_everything_with_an_address_is_asked_for(database, tmp_path):
    assert audit(tmp_path, database.url) == (0, ["2 packages audited, 0 with known faults"])
    assert database.asked[1:] == ["pkg:pypi/one@1", "pkg:npm/two@2"]


def test_a_known_fault_fails(database, tmp_path):
    database.results[2] = {"vulns": [{"id": "CVE-1"}, {"id": "CVE-2"}]}
    assert audit(tmp_path, database.url) == (
        1,
        ["pkg:npm/two@2: CVE-1, CVE-2", "2 packages audited, 1 with known faults"],
    )


@pytest.mark.parametrize("trouble", ["nobody", "refused", "a page", "knows nothing", "too few"])
def test_a_database_that_does_not_answer_is_told_in_one_line(database, tmp_path, trouble):
    """A mirror without advisories is such a one: it must not look like a clean bill."""
    address = "http://127.0.0.1:9" if trouble == "nobody" else database.url
    database.status = 503 if trouble == "refused" else 200
    database.body = b"<html>" if trouble == "a page" else b""
    if trouble == "knows nothing":
        database.results[0] = {}
    if trouble == "too few":
        del database.results[1:]
    code, said = audit(tmp_path, address)
    assert code == 0
    assert len(said) == 1
    assert said[0].startswith(f"Not audited: {address} (")


def test_the_list_names_what_lies_inside_the_wheel():
    pytest.importorskip("cyclonedx", reason="cyclonedx-bom is not installed")
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        import sbom
    finally:
        sys.path.pop(0)
    found = {one["name"]: one for one in sbom.inside()}
    assert found["ngl"]["purl"] == "pkg:npm/ngl@2.5.0"
    networks = {name for name, one in found.items() if one["type"] == "machine-learning-model"}
    assert networks == {path.stem for path in ROOT.glob("models/*.onnx")}
    # every file of the wheel that is no module, page or text of the project's own is one of them
    others = [path for path in ROOT.glob("haruspex_infer/**/*.*") if path.suffix in (".js", ".gz")]
    others += ROOT.glob("models/*.onnx")
    assert len(others) - 1 == len(found)  # report.js is the project's own
