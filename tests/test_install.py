"""The wheel as a stranger has it: an empty environment, the newest version of everything, no clone and no network."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    run("uv", "build", "--quiet", "--wheel", "-o", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    run("uv", "venv", "--quiet", "--python", sys.executable, tmp_path / "env")
    python = tmp_path / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    began = time.monotonic()
    run("uv", "pip", "install", "--quiet", "--python", python, wheel)
    installed = time.monotonic()
    pictures = tmp_path / "pictures"
    code = f"""
from pathlib import Path
from PIL import Image
import digitset
Path({str(pictures)!r}).mkdir()
for number, image in enumerate(digitset.load_data().test.images[:3].numpy()):
    Image.fromarray(255 - image).resize((280, 280)).save(f"{{{str(pictures)!r}}}/{{number}}.png")
"""
    run(python, "-c", code, cwd=tmp_path)
    asked = time.monotonic()
    said = run(python, "-m", "digitset", "predict", "sum/exact", pictures, cwd=tmp_path)
    assert "10" in said.splitlines()[-1]  # 7 + 2 + 1
    answered = time.monotonic()
    files = [path for path in (tmp_path / "env").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(
        f"wheel {wheel.stat().st_size / 1e6:.1f} MB; environment {size:,.0f} MB in {installed - began:.0f} s; "
        f"first prediction after {answered - asked:.1f} s"
    )
    run(python, "-m", "digitset", "data", "--out", "data.png", cwd=tmp_path)
    assert (tmp_path / "data.png").stat().st_size > 10_000
