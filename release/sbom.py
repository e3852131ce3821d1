"""Adds the libraries that the wheel links statically to a software bill of materials in CycloneDX format.

``python release/sbom.py FILE``, with the Python that has the nanobind of the wheel; FILE is rewritten.
"""

import json
import re
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import nanobind
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def robin_map_version() -> str:
    """Version of the robin-map that nanobind ships, from its header."""
    header = Path(nanobind.__file__).parent / "ext/robin_map/include/tsl/robin_growth_policy.h"
    return ".".join(re.findall(r"#define TSL_RH_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header.read_text()))


def component(name: str, number: str, package_url: str, license_id: str) -> dict[str, Any]:
    """Entry of a library."""
    return {
        "bom-ref": f"{name}=={number}",
        "licenses": [{"license": {"acknowledgement": "declared", "id": license_id}}],
        "name": name,
        "purl": package_url,
        "type": "library",
        "version": number,
    }


def with_linked(bill: dict[str, Any]) -> dict[str, Any]:
    """Add nanobind and robin-map to the bill, as dependencies of the package."""
    nanobind_version, robin_map = version("nanobind"), robin_map_version()
    linked = [
        component("nanobind", nanobind_version, f"pkg:pypi/nanobind@{nanobind_version}", "BSD-3-Clause"),
        component("robin-map", robin_map, f"pkg:github/Tessil/robin-map@v{robin_map}", "MIT"),
    ]
    references = [entry["bom-ref"] for entry in linked]
    root = bill["metadata"]["component"]["bom-ref"]
    for dependency in bill["dependencies"]:
        if dependency["ref"] == root:
            dependency["dependsOn"] = sorted([*dependency.get("dependsOn", []), *references])
    bill["components"] += linked
    bill["dependencies"] += [{"ref": reference} for reference in references]
    return bill


def main() -> None:
    """Rewrite the file, if what is written is valid."""
    file = Path(sys.argv[1])
    text = json.dumps(with_linked(json.loads(file.read_text())), indent=2) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"{file} would not be valid: {error}")
    file.write_text(text)


if __name__ == "__main__":
    main()
