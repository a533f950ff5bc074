"""Each export among the examples writes a version that the server's own check accepts.

Its golden samples are what the package itself predicts, so an export that changes a model fails.
"""

import subprocess
from pathlib import Path

import pytest

from tests.serving import ROOT
from tests.unit.gateway.cli.terminal import Terminal

PYTHON = ROOT / ".venv" / "clients" / "bin" / "python"
NEEDS = {
    "export_xgboost": ("xgboost", "onnxmltools", "sklearn"),
    "export_lightgbm": ("lightgbm", "onnxmltools", "sklearn"),
    "export_pytorch": ("torch", "onnxscript", "sklearn"),
}


def are_installed(packages: tuple[str, ...]) -> bool:
    """Look for packages in the environment of other programs."""
    names = ", ".join(map(repr, packages))
    script = f"import importlib.util as u; exit(not all(u.find_spec(name) for name in ({names})))"
    return subprocess.run([PYTHON, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("example", NEEDS)
def test_export_is_what_the_package_predicts(example: str, tmp_path: Path) -> None:
    """Train, export, and let the golden samples decide."""
    if not are_installed(NEEDS[example]):
        pytest.skip(f"{', '.join(NEEDS[example])} are not all installed")
    program = ROOT / "examples" / f"{example}.py"
    command = [str(PYTHON), str(program), "--repository", str(tmp_path / "models")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("models/*/1/golden.json"))
    settings = {"TOLLGATE_DATA_DIR": str(tmp_path / "data")}
    checked = Terminal(settings).run("check", str(tmp_path / "models"))
    assert checked.status == 0, checked.out
