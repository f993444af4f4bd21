"""`digitset demo --static`: the page as a folder for any static host. The models answer in the browser.

The folder has the modules of `page/`, with those of `page_static/` in the place of its `api.js`; the models as ONNX; a
tenth of the test images; and ONNX Runtime, which is not part of Digitset: npm's package is read and checked.
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import torch

from digitset.data.mnist import load_data
from digitset.demo.answers import describe
from digitset.errors import InputError
from digitset.files import read_whole
from digitset.inference.onnx_explained import export_explained, grid
from digitset.inference.predictor import Predictor

PACKAGE = Path(__file__).parent.parent
VERSION = "1.30.0"
RUNTIME = Path(f"onnxruntime-web-{VERSION}.tgz")  # as `npm pack` names it
DIGEST = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="  # npm's sha512
PARTS = {  # of the package, the smallest that compute on the processor -> their names in the folder
    "ort.wasm.bundle.min.mjs": "ort.wasm.bundle.min.mjs",
    "ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.bin",  # packed: a quarter of its size
}
MOST_BYTES = 100 << 20
EVERY = 10  # each tenth test image is dealt
WORDS = {  # of the page with a service -> of the one without
    'Nothing leaves this machine. Programs ask the same service: <a href="/v1/openapi.json">/v1/openapi.json</a>.': (
        "Nothing leaves this browser: the models run in it, and after the first visit it needs no network. "
        "The installed program, <code>digitset demo</code>, reads photographs better."
    ),
    "</head>": """<style>
#answer:empty::after {
  opacity: 0; animation: told 0s 1s forwards;
  content: "The models are on their way: MEGABYTES MB, once.";
}
@keyframes told { to { opacity: 1; } }
</style>
</head>""",
    "</body>": """<script>
if (location.protocol === "file:") {
  const problem = document.getElementById("problem");
  problem.textContent = "Opened as a file, the page cannot load its parts. In its folder, run: python -m http.server";
  problem.hidden = false;
}
</script>
</body>""",
}


def read_runtime(path: str | Path) -> dict[str, bytes]:
    """The files of ONNX Runtime that the page needs, by their names there, from npm's package onnxruntime-web.

    Raises InputError if it is not there, or is not the version that is known to work, byte for byte.
    """
    bring = f"`npm pack onnxruntime-web@{VERSION}`"
    if not Path(path).exists():
        raise InputError(f"{path}: not found; {bring} brings it into the folder you are in")
    content = read_whole(Path(path), MOST_BYTES, f"onnxruntime-web {VERSION}")
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != DIGEST:
        raise InputError(f"{path}: not onnxruntime-web {VERSION} as npm has it; {bring} brings that")
    with tarfile.open(fileobj=io.BytesIO(content)) as package:
        files = {part: package.extractfile(f"package/dist/{part}") for part in PARTS}
        read = {part: file.read() for part, file in files.items() if file is not None}
    return {PARTS[part]: _packed(content) if part.endswith(".wasm") else content for part, content in read.items()}


def write_page(predictors: dict[str, Predictor], folder: str | Path, runtime: str | Path = RUNTIME) -> None:
    """Writes the page with these models by name ("sum/exact") into a folder, and says how far it is.

    The page begins with the first. `runtime` is npm's package onnxruntime-web. Raises InputError before anything is
    written: for a folder that is not empty, as `read_runtime` does, and as `export_explained` does.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: expected a folder that is empty, or nothing; choose another --static")
    files = {f"runtime/{name}": content for name, content in read_runtime(runtime).items()}
    files |= _digits() | _models(predictors)
    first = [content for name, content in files.items() if name.startswith("runtime/") or name == "models/0.onnx"]
    files |= _page(sum(map(len, first)))
    files["NOTICE"] = _notice()
    files["offline.js"] = _offline(files)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    size = sum(map(len, files.values())) / 1e6
    print(f"{folder}: {len(files)} files, {size:.1f} MB, for any static host. Here: python -m http.server -d {folder}")


def _page(first: int) -> dict[str, bytes]:
    """The page, and what is in the place of the service; `first` is the bytes that the first answer waits for."""
    page, instead = PACKAGE / "demo" / "page", PACKAGE / "demo" / "page_static"
    parts = {path.name: path for path in [*sorted(page.iterdir()), *sorted(instead.iterdir())]}
    html = parts.pop("index.html").read_text(encoding="utf-8")
    del parts["offline.js"]
    for old, new in WORDS.items():
        assert html.count(old) == 1, old
        html = html.replace(old, new.replace("MEGABYTES", f"{first / 1e6:.0f}"))
    return {"index.html": html.encode()} | {f"page/{name}": path.read_bytes() for name, path in parts.items()}


def _digits() -> dict[str, bytes]:
    """Test images, of each its digit and then its pixels."""
    test = load_data().test
    values = torch.cat([test.labels[::EVERY, None].to(torch.uint8), test.images[::EVERY].flatten(1)], dim=1)
    return {"digits.bin": _packed(values.numpy().astype(np.uint8).tobytes())}


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _models(predictors: dict[str, Predictor]) -> dict[str, bytes]:
    """The models, and what the page has to know of them: as the service says it, and the file of each."""
    files, models = dict[str, bytes](), []
    for number, (name, predictor) in enumerate(predictors.items()):
        file = f"models/{number}.onnx"
        files[file] = export_explained(predictor)
        model = describe(name, predictor, number == 0)
        models.append(model.model_dump() | {"file": file, "side": grid(predictor.network)})
        print(f"{name}: {len(files[file]) / 1e6:.1f} MB", flush=True)
    return files | {"models.json": json.dumps(models, indent=1).encode()}


def _notice() -> bytes:
    """Under which licences the files are."""
    mnist = (PACKAGE / "data" / "files" / "NOTICE").read_text(encoding="utf-8").strip()
    return (
        f"Page and models: Digitset, under the MIT licence.\n\n"
        f"runtime/: ONNX Runtime Web {VERSION}, copyright Microsoft Corporation, under the MIT licence.\n\n"
        f"digits.bin: each tenth test image of MNIST with its label, in another format. Of MNIST, Digitset says:\n\n"
        f"{mnist}\n"
    ).encode()


def _offline(files: dict[str, bytes]) -> bytes:
    """The program by which a browser keeps the files."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    kept = {"digest": digest.hexdigest(), "files": ["./", *(name for name in files if name != "index.html")]}
    return f"const KEPT = {json.dumps(kept)};\n".encode() + (PACKAGE / "demo/page_static/offline.js").read_bytes()
