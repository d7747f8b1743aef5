"""A small archive on disk and a real HTTP server that serves it badly on purpose."""

import base64
import contextlib
import gzip
import hashlib
import random
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<emd emdb_id="{name}" version="3.0.3.6">
  <admin>
    <key_dates><deposition>2017-01-01</deposition><map_release>{released}</map_release></key_dates>
    <title>{title}</title>
    <authors_list><author>Miller A</author><author>Smith B</author></authors_list>
  </admin>
  <crossreferences><pdb_list>{models}</pdb_list></crossreferences>
  <sample><name>{sample}</name><supramolecule_list>{kind}</supramolecule_list></sample>
  <structure_determination_list><structure_determination>
    <method>{method}</method><aggregation_state>{state}</aggregation_state>
    <singleparticle_processing><final_reconstruction>
      <resolution units="Å">{resolution}</resolution>
    </final_reconstruction></singleparticle_processing>
  </structure_determination></structure_determination_list>
  <map><contour_list><contour primary="true"><level>0.03</level></contour></contour_list></map>
</emd>
"""


def add_entry(root, number, pdb="1abc", density=None, **changes):
    """Put an entry into the tree; EMDB and PDB share one root."""
    name = f"EMD-{number}"
    fields = {
        "name": name,
        "released": "2017-05-03",
        "title": "An enzyme",
        "sample": "enzyme",
        "models": f"<pdb_reference><pdb_id>{pdb}</pdb_id></pdb_reference>" if pdb else "",
        "kind": "<complex_supramolecule/>",
        "method": "singleParticle",
        "state": "particle",
        "resolution": "3.2",
    }
    header = HEADER.format(**(fields | changes))
    files = {f"structures/{name}/header/emd-{number}.xml": header.encode()}
    files[f"structures/{name}/map/emd_{number}.map.gz"] = gzip.compress(
        density or random.Random(number).randbytes(50_000), mtime=0
    )
    if pdb:
        files[f"data/structures/divided/mmCIF/{pdb[1:3]}/{pdb}.cif.gz"] = gzip.compress(b"data_x", mtime=0)
        files[f"validation_reports/{pdb[1:3]}/{pdb}/{pdb}_validation.xml.gz"] = gzip.compress(
            b'<r><Entry atom_inclusion_backbone="0.9"/></r>', mtime=0
        )
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing of clients that were killed."""


class Archive:
    """Serves a folder. `faults` maps the end of a path to what goes wrong, request after request.

    A fault "silent" answers nothing before `closing`.
    """

    def __init__(self, root):
        self.root = root
        self.faults = {}
        self.requests = defaultdict(list)
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.times = []
        archive = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with archive.lock:
                    archive.times.append(time.monotonic())
                    archive.under_way += 1
                    archive.most_under_way = max(archive.most_under_way, archive.under_way)
                try:
                    archive.answer(self)
                finally:
                    with archive.lock:
                        archive.under_way -= 1

            def log_message(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def fault(self, path):
        with self.lock:
            for ending, faults in self.faults.items():
                if path.endswith(ending) and faults:
                    return faults.pop(0)
        return None

    def answer(self, request):
        path = unquote(urlsplit(request.path).path)
        with self.lock:
            self.requests[path].append(dict(request.headers))
        fault = self.fault(path)
        if path.startswith("/search/"):
            return self.search(request, fault)
        file = self.root / path.lstrip("/")
        if isinstance(fault, tuple):  # status and where to
            request.send_response(fault[0])
            request.send_header("Location", fault[1])
            request.send_header("Content-Length", "0")
            return request.end_headers()
        if fault == "silent":
            self.closing.wait()
            return request.connection.close()
        if fault == "endless":
            return self.endless(request)
        if isinstance(fault, int):
            return self.status(request, fault)
        if not file.is_file():
            return self.status(request, 404)
        data = file.read_bytes()
        tag = f'"{hashlib.md5(data).hexdigest()}"'
        asked = request.headers.get("Range")
        start = 0
        if asked and request.headers.get("If-Range") == tag:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        if fault == "truncated gz":
            data = data[: len(data) // 2]
        if fault == "wrong checksum":
            digest = base64.b64encode(hashlib.sha256(b"another file").digest()).decode()
        if fault == "damaged":
            data, digest = data[:-9] + b"\0" + data[-8:], None
        if fault == "page":
            data, digest = b"<html>Down for maintenance</html>", None
        body = data[start:]
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        request.send_header("ETag", tag)
        if digest and fault != "truncated gz":
            request.send_header("Repr-Digest", f"sha-256=:{digest}:")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if fault in ("cut", "stall"):
            request.wfile.write(body[: len(body) // 2])
            request.wfile.flush()
            if fault == "stall":  # until the client goes, or all ends
                request.connection.settimeout(0.1)
                while not self.closing.is_set():
                    with contextlib.suppress(TimeoutError):
                        if not request.connection.recv(1):
                            break
            request.close_connection = True
            return None
        request.wfile.write(body)
        return None

    def search(self, request, fault):
        if isinstance(fault, int):
            return self.status(request, fault)
        query = parse_qs(urlsplit(request.path).query)
        names = sorted(path.name for path in self.root.glob("structures/EMD-*"))
        rows, page = int(query["rows"][0]), int(query["page"][0])
        names = names[rows * (page - 1) : rows * page]
        body = "<html/>" if fault == "page" else "\n".join(["emdb_id", *names]) + "\n"
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body.encode())
        return None

    @staticmethod
    def endless(request):
        """Send as much as is taken, without saying how much."""
        request.send_response(200)
        request.send_header("Connection", "close")
        request.end_headers()
        request.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                request.wfile.write(bytes(2**16))

    @staticmethod
    def status(request, code):
        request.send_response(code)
        if code == 429:
            request.send_header("Retry-After", "1")
        request.send_header("Content-Length", "0")
        request.end_headers()
