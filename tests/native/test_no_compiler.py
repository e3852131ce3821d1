"""An installation from source without a C++ compiler ends with a sentence that says so."""

import os
import subprocess
from pathlib import Path

import cmake

ROOT = Path(__file__).parents[2]


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    build_tool = tmp_path / "ninja"  # CMake only asks it for its version before it looks for compilers
    build_tool.write_text("#!/bin/sh\necho 1.13.0\n")
    build_tool.chmod(0o755)
    command = [f"{cmake.CMAKE_BIN_DIR}/cmake", "-S", ROOT / "native", "-B", tmp_path / "build", "-G", "Ninja"]
    environment = {name: value for name, value in os.environ.items() if name != "CXX"}
    environment["PATH"] = str(tmp_path)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert "no C++ compiler was found: install one (g++ or clang++; on Windows clang-cl)" in message
