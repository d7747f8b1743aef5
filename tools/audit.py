"""Asks a database of advisories for known faults of everything that a list of components (CycloneDX) names.

    python tools/audit.py dist/haruspex-infer.cdx.json

Exit code 1 if there are any. Where the database (https://osv.dev) cannot be reached, or does not know what it
must, nothing was audited: one line says so, and the exit code is 0, since no change of the code would help.
"""

import argparse
import json
import sys
from pathlib import Path

import urllib3
from urllib3.exceptions import HTTPError

DATABASE = "https://api.osv.dev/v1/querybatch"
KNOWN_FAULTY = "pkg:pypi/mlflow@0.4.0"
"""The example of its own documentation: a database that knows nothing of it knows nothing of anything."""

SECONDS = 20.0


def advisories(purls: list[str], database: str) -> dict[str, list[str]]:
    """Return the names of advisories for each package URL.

    Raises
    ------
    ConnectionError
        If the database does not answer, or answers with what is no answer.
    """
    queries = {"queries": [{"package": {"purl": purl}} for purl in [KNOWN_FAULTY, *purls]]}
    try:
        answer = urllib3.request("POST", database, json=queries, timeout=SECONDS, retries=1)
        results = answer.json()["results"] if answer.status == 200 else []
        found = [[one["id"] for one in result.get("vulns", [])] for result in results]
    except (HTTPError, ValueError, LookupError, TypeError, AttributeError) as fault:
        reason = getattr(fault, "reason", fault)
        raise ConnectionError(f"it cannot be reached: {reason}") from fault
    if len(found) != len(purls) + 1 or not found[0]:
        raise ConnectionError(f"status {answer.status}, and it does not know the faults of {KNOWN_FAULTY}")
    return dict(zip(purls, found[1:], strict=True))


def main() -> None:
    """Ask and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("components", type=Path)
    parser.add_argument("--database", default=DATABASE)
    options = parser.parse_args()
    components = json.loads(options.components.read_text(encoding="utf-8"))["components"]
    purls = [one["purl"] for one in components if "purl" in one]
    try:
        found = advisories(purls, options.database)
    except ConnectionError as fault:
        print(f"Not audited: {options.database} ({fault})")
        return
    faulty = {purl: names for purl, names in found.items() if names}
    for purl, names in faulty.items():
        print(f"{purl}: {', '.join(names)}")
    print(f"{len(purls)} packages audited, {len(faulty)} with known faults")
    sys.exit(1 if faulty else 0)


if __name__ == "__main__":
    main()
