"""Facts of the packaging that a release relies on."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pinned() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)


def test_the_tests_run_with_the_oldest_torch_that_is_allowed() -> None:
    torch = next(Requirement(one) for one in PROJECT["dependencies"] if one.startswith("torch"))
    assert str(torch.specifier) == ">=" + ".".join(pinned()["torch"].split(".")[:2])


def test_every_pinned_version_is_one_that_is_allowed() -> None:
    extras = PROJECT["optional-dependencies"].values()
    allowed = [
        Requirement(one) for one in [*PROJECT["dependencies"], *(name for extra in extras for name in extra)]
    ]
    versions = pinned()
    for requirement in allowed:
        if requirement.name in versions:
            assert requirement.specifier.contains(versions[requirement.name]), requirement
    assert len({one.name for one in allowed} & set(versions)) > 15


def test_the_licenses_of_linked_libraries_are_in_the_wheel() -> None:
    files = {file.name for pattern in PROJECT["license-files"] for file in ROOT.glob(pattern)}
    assert files == {"LICENSE", "nanobind.txt", "robin-map.txt"}
