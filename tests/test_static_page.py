"""The page without a service: a folder, served by any host, whose models answer in the browser as the library does."""

import functools
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright
from scipy.ndimage import center_of_mass, shift
from test_demo_page import CHROMIUM, ONE, PAGE, SEVEN, browsed, draw, labels, state, switch, tiles, violations

import digitset
from digitset import InputError
from digitset.data.mnist import Splits
from digitset.demo import static_page
from digitset.inference import onnx_explained
from digitset.inference.explain import explain
from digitset.pictures.normalize import digit

ROOT = Path(__file__).parent.parent
MODELS = ("sum/exact", "sum/mlp", "contains/transformer", "contains/transformer-vit", "classify/mlp-vit")
MOST_BYTES = 20_000_000


@dataclass(frozen=True)
class Site:
    """A folder that was written, and why its models cannot run, if so."""

    folder: Path
    without: str | None


@pytest.fixture(autouse=True, scope="module")
def _no_shape_checks() -> Iterator[None]:
    """The checks of the other tests look at sizes, which in a traced graph would make them constants."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path | str:
    """npm's package, from the root of the project or by npm; or why there is none."""
    if (ROOT / static_page.RUNTIME).exists():
        return ROOT / static_page.RUNTIME
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("npm")
    if npm is None:
        return f"npm is not installed, and {static_page.RUNTIME} is not in the root of the project"
    command = [npm, "pack", "--prefer-offline", f"onnxruntime-web@{static_page.VERSION}"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "npm brought no onnxruntime-web within two minutes"
    path = folder / static_page.RUNTIME
    return path if done.returncode == 0 and path.exists() else "npm cannot bring onnxruntime-web here"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, runtime: Path | str) -> Site:
    """The page with some models; without ONNX Runtime where it cannot be had."""
    folder = tmp_path_factory.mktemp("static") / "site"
    predictors = {name: digitset.load(name) for name in MODELS}
    with pytest.MonkeyPatch.context() as patch:
        if isinstance(runtime, str):
            patch.setattr(static_page, "read_runtime", lambda _: dict.fromkeys(static_page.PARTS.values(), b""))
        static_page.write_page(predictors, folder, runtime)
    return Site(folder, runtime if isinstance(runtime, str) else None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def served(folder: Path) -> tuple[str, ThreadingHTTPServer]:
    """The address of a plain server of files, and the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", server


@dataclass
class Opened:
    context: BrowserContext
    page: Page
    address: str
    server: ThreadingHTTPServer


def opened_page(browser: Browser, site: Site, **context: Any) -> Iterator[Opened]:
    """The page, once it has answered. At its end: no error on its console, and no request but to its own address."""
    if site.without is not None:
        pytest.skip(site.without)
    address, server = served(site.folder)
    made = browser.new_context(**context)
    errors: list[str] = []
    elsewhere: list[str] = []

    def guard(route: Route) -> None:
        if route.request.url.startswith(address):
            route.continue_()
        else:
            elsewhere.append(route.request.url)
            route.abort()

    made.route(re.compile("^https?:"), guard)
    page = made.new_page()
    page.set_default_timeout(30_000)
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    start = time.perf_counter()
    page.goto(address)
    page.wait_for_selector(".large")
    print(f"the first answer came after {time.perf_counter() - start:.1f} s")
    yield Opened(made, page, address, server)
    made.close()
    server.shutdown()
    server.server_close()
    assert errors == []
    assert elsewhere == []


@pytest.fixture
def opened(browser: Browser, site: Site) -> Iterator[Opened]:
    yield from opened_page(browser, site, viewport={"width": 1300, "height": 950})


PREDICT = """async ([name, questions]) => {
    const { predict } = await import("/page/api.js");
    const tile = ({ pixels, label }) => ({ pixels: Uint8Array.from(pixels), label });
    const answers = [];
    for (const { tiles, anchor, explain } of questions) {
        answers.push(await predict(name, tiles.map(tile), anchor && tile(anchor), explain));
    }
    return answers;
}"""


def answers_are_those_of_the_library(page: Page, name: str, count: int, mnist: Splits) -> None:
    """So many sequences of 1 to 10 test images, explained."""
    predictor = digitset.load(name)
    task, rng = predictor.task, np.random.default_rng(7)
    questions, sequences = [], []
    for _ in range(count):
        rows = rng.integers(len(mnist.test), size=1 if task.single_image else rng.integers(1, 11)).tolist()
        row = int(rng.integers(len(mnist.test))) if task.anchored else None
        anchor = None if row is None else tile(mnist, row)
        questions.append({"tiles": [tile(mnist, each) for each in rows], "anchor": anchor, "explain": True})
        sequences.append((rows, row))
    answers = page.evaluate(PREDICT, [name, questions])
    for (rows, row), answer in zip(sequences, answers, strict=True):
        anchor = None if row is None else mnist.test.images[row]
        expected = explain(predictor, mnist.test.images[rows], anchor)
        present = (mnist.test.labels[rows][None] >= 0).bool()
        truth = task.target(mnist.test.labels[rows][None], present, None if row is None else mnist.test.labels[[row]])
        assert answer["truth"] == int(truth)
        assert answer["interval"] == (None if expected.interval is None else list(expected.interval))
        for field in ("answer", "certainty", "distribution", "single_answers", "attention", "digit_probabilities"):
            equal(answer[field], getattr(expected, field), field)
        equal(answer["pairwise"], None if task.anchored else expected.pairwise, "pairwise")
        equal(answer["contributions"], expected.contributions if len(rows) > 1 else None, "contributions")
        assert (answer["places"] is None) == (expected.places is None)
        for field in answer["places"] or {}:
            equal(answer["places"][field], getattr(expected.places, field), field)


def tile(mnist: Splits, row: int) -> dict[str, Any]:
    return {"pixels": mnist.test.images[row].flatten().tolist(), "label": int(mnist.test.labels[row])}


def equal(found: Any, expected: Any, field: str) -> None:
    assert (found is None) == (expected is None), field
    if expected is not None:
        np.testing.assert_allclose(np.array(found), np.asarray(expected), rtol=1e-4, atol=1e-4, err_msg=field)


@browsed
@pytest.mark.parametrize(("name", "count"), [(name, 40) for name in MODELS])
def test_answers_are_those_of_the_library(opened: Opened, name: str, count: int, mnist: Splits) -> None:
    answers_are_those_of_the_library(opened.page, name, count, mnist)


def settled(page: Page) -> None:
    """Waits until the answers are about the digits, task and model that are there."""
    page.evaluate("async () => { window.page = await import('/page/state.js'); }")
    page.wait_for_function(
        """() => {
            const { get, filled, model, modelsOfTask } = window.page;
            const { answers, task } = get();
            return answers?.task === task && answers.model === model().name && !get().drawn &&
                modelsOfTask().every((one) => answers.said[one.name]) &&
                JSON.stringify(answers.keys) === JSON.stringify(filled().map((one) => one.key));
        }""",
        polling=100,
    )


@browsed
def test_digits_are_drawn_and_dealt_and_models_switched(opened: Opened) -> None:
    page = opened.page
    settled(page)
    before = tiles(page).count()
    assert page.locator(".truth").inner_text().endswith(f"the labels say {sum(labels(page))}.")
    page.evaluate("() => { window.requests = 0; }")  # what `draw` of the service's tests waits for
    for points in (SEVEN, ONE):
        draw(page, page.locator(".tiles .blank .pad"), points)
        settled(page)
    assert tiles(page).count() == before + 2
    assert page.locator(".truth").count() == 0
    page.get_by_role("button", name="Deal 30", exact=True).click()
    settled(page)
    assert tiles(page).count() == 30
    known = state(page, "now.tiles.filter((one) => one.pixels).map((one) => [one.label, ...one.pixels])")
    assert len({tuple(one) for one in known}) == 30
    assert "cannot take 30" not in page.locator("main").inner_text()
    switch(page, "sum/mlp")
    assert "has 10 places, one an image, and cannot take 30" in page.locator(".refusal").inner_text()
    switch(page, "contains")
    settled(page)
    assert page.locator("#lines path").count() == 30
    tiles(page).first.focus()
    page.keyboard.press("4")
    page.wait_for_function("() => window.page.get().tiles[0].label === 4")


@browsed
def test_where_a_vision_transformer_looks_is_shown(opened: Opened) -> None:
    """A map lies over each digit, and none over those of a model whose encoder has no attention."""
    page = opened.page
    assert page.get_by_role("button", name="what it rests on").count() == 0
    switch(page, "classify")
    settled(page)
    tiles(page).first.click()
    for name in ("where it looks", "what it rests on"):
        page.get_by_role("button", name=name).click()
        page.wait_for_function(
            "(count) => document.querySelectorAll('.tiles .map:not([hidden])').length === count", arg=5
        )
    sizes = page.locator(".tiles .map:not([hidden])").evaluate_all(
        "(maps) => maps.map((map) => [map.width, map.height])"
    )
    assert sizes == [[4, 4]] * 5


@browsed
@pytest.mark.parametrize(
    "context", [{"viewport": {"width": 1300, "height": 950}},
                {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True}],
    ids=["wide and light", "narrow and dark"],
)  # fmt: skip
def test_accessible_by_the_rules_of_axe(browser: Browser, site: Site, context: dict[str, Any]) -> None:
    for opened in opened_page(browser, site, **context):
        for task in ("sum", "contains", "classify"):
            switch(opened.page, task)
            settled(opened.page)
            assert violations(opened.page) == [], task
        tiles(opened.page).first.click()
        assert violations(opened.page) == []


@browsed
def test_saved_json_is_opened(opened: Opened, tmp_path: Path) -> None:
    page = opened.page
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    saved = tmp_path / "digits.json"
    download.value.save_as(saved)
    before = labels(page)
    page.get_by_role("button", name="Clear all").click()
    page.locator("#files").set_input_files(saved)
    page.wait_for_function("() => document.querySelectorAll('.tiles .tile:not(.blank)').length > 0")
    assert labels(page) == before


def _sheet(mnist: Splits, rows: int, columns: int, light: bool) -> Image.Image:
    """Test images, 6 times as large and apart; on paper that is darker on one side, or light on a dark board."""
    images = mnist.test.images[: rows * columns].numpy().reshape(rows, columns, 28, 28)
    ink = np.pad(images, ((0, 0), (0, 0), (4, 4), (6, 6))).transpose(0, 2, 1, 3).reshape(rows * 36, columns * 40)
    large = np.asarray(Image.fromarray(ink).resize((columns * 240, rows * 216), Image.Resampling.BICUBIC)) / 255
    paper = np.linspace(235, 150, large.shape[1])
    noise = np.random.default_rng(0).normal(0, 3, large.shape)
    grey = 40 + 180 * large + noise if light else paper * (1 - 0.8 * large) + noise
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


@browsed
@pytest.mark.parametrize("light", [False, True], ids=["dark ink", "light ink"])
def test_pictures_are_read_by_a_plain_rule_and_said_to_be(
    opened: Opened, tmp_path: Path, mnist: Splits, light: bool
) -> None:
    """Four rows of ten test images: nearly all are found in their order, and are read as the originals are."""
    page = opened.page
    _sheet(mnist, 4, 10, light).save(tmp_path / "sheet.png")
    page.get_by_role("button", name="Clear all").click()
    page.locator("#files").set_input_files(tmp_path / "sheet.png")
    page.locator("#note", has_text="sheet.png was taken for 40 digits. It was read by a plain rule").wait_for()
    pixels = state(page, "now.tiles.filter((one) => one.pixels).map((one) => [...one.pixels])")
    found, originals = np.array(pixels), mnist.test.images[:40].flatten(1).numpy()
    alike = [np.corrcoef(one, other)[0, 1] for one, other in zip(found, originals, strict=True)]
    assert np.median(alike) > 0.95
    reader = digitset.load("classify/any_hand")
    read = reader.predict([image[None].astype(np.uint8) for image in found.reshape(-1, 28, 28)])
    assert (np.round(read) == mnist.test.labels[:40].numpy()).sum() >= 39


@browsed
def test_one_digit_by_a_thin_pen_and_pictures_that_have_none(opened: Opened, tmp_path: Path) -> None:
    page = opened.page
    thin = _picture(_smooth(np.array(SEVEN)), pen=0.012)
    Image.fromarray(np.uint8(255 * thin)).save(tmp_path / "thin.png")
    Image.new("L", (50, 50), 255).save(tmp_path / "empty.png")
    (tmp_path / "notes.png").write_text("no picture")
    page.get_by_role("button", name="Clear all").click()
    page.locator("#files").set_input_files(tmp_path / "thin.png")
    page.locator("#note", has_text="thin.png was taken for a digit. It was read by a plain rule").wait_for()
    assert page.locator("#note button").count() == 0
    image = np.array(state(page, "[...now.tiles[0].pixels]"), np.uint8).reshape(1, 28, 28)
    assert digitset.load("classify/any_hand").predict([image])[0] == 7
    page.locator("#files").set_input_files([tmp_path / "empty.png", tmp_path / "notes.png"])
    page.wait_for_selector("#problem:not([hidden])")
    said = page.locator("#problem").inner_text()
    assert "empty.png: no ink is found on it" in said
    assert "notes.png: expected a picture that this browser can show" in said
    assert tiles(page).count() == 1


@browsed
def test_the_second_visit_needs_no_network(browser: Browser, site: Site) -> None:
    for opened in opened_page(browser, site):
        opened.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        opened.page.close()
        opened.server.shutdown()
        opened.server.server_close()
        opened.context.set_offline(True)
        again = opened.context.new_page()
        again.goto(opened.address)
        again.wait_for_selector(".large")
        settled(again)
        again.locator('label:has([value="contains"])').click()
        settled(again)
        assert again.locator("#lines path").count() == 5


@browsed
def test_a_lost_file_is_told_and_asked_for_again(browser: Browser, site: Site) -> None:
    if site.without is not None:
        pytest.skip(site.without)
    address, server = served(site.folder)
    context, missing = browser.new_context(service_workers="block"), [True]
    context.route("**/models/*.onnx", lambda route: route.abort() if missing else route.continue_())
    page = context.new_page()
    page.goto(address)
    page.wait_for_function("() => document.getElementById('problem')?.textContent.includes('do not come')")
    assert page.locator(".large").count() == 0
    missing.clear()
    page.wait_for_selector(".large")
    page.wait_for_selector("#problem", state="hidden")
    context.close()
    server.shutdown()
    server.server_close()


def test_the_folder_has_all_that_the_page_asks_for(site: Site) -> None:
    folder = site.folder
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for path in folder.glob("page/*.js"):
        for imported in re.findall(r'from "([^"]+)"', path.read_text(encoding="utf-8")):
            assert (path.parent / imported).resolve().is_file(), f"{path.name} imports {imported}"
    models = json.loads((folder / "models.json").read_text(encoding="utf-8"))
    assert [model["name"] for model in models] == list(MODELS)
    assert all(model["file"] in files and model["places"] == ("vit" in model["name"]) for model in models)
    first = (folder / "offline.js").read_text(encoding="utf-8").partition("\n")[0]
    kept = json.loads(first.removeprefix("const KEPT = ").removesuffix(";"))
    assert {*kept["files"]} | {"index.html", "offline.js"} == files | {"./"}
    assert not re.search(r"https?://(?!www\.w3\.org)", (folder / "index.html").read_text(encoding="utf-8"))


DRAWN = """async (drawings) => {
    const { read } = await import("/ink.js");
    return drawings.map((points) => [...read([{ pen: 2.7, points: points.map(([x, y]) => ({ x, y })) }])]);
}"""


@browsed
def test_a_drawing_is_made_an_image_as_its_picture_is(browser: Browser) -> None:
    """What is drawn on the page, and a picture of the same strokes that `digitset predict` would read."""
    address, server = served(PAGE)
    rng = np.random.default_rng(3)
    two = ((0.3, 0.3), (0.6, 0.25), (0.7, 0.4), (0.3, 0.75), (0.75, 0.75))
    shapes = [SEVEN, ONE, two, ((0.3, 0.2), (0.3, 0.5), (0.7, 0.5))]
    drawings = [_smooth(np.array(shapes[i % 4]) + rng.normal(0, 0.02, (len(shapes[i % 4]), 2))) for i in range(20)]
    page = browser.new_page()
    page.goto(f"{address}/index.html")
    found = np.reshape(page.evaluate(DRAWN, [points.tolist() for points in drawings]), (-1, 28, 28))
    page.close()
    server.shutdown()
    server.server_close()
    reader = digitset.load("classify/any_hand")
    expected = np.stack([digit(_picture(points)) for points in drawings])
    for ours, theirs in zip(found.astype(float), expected.astype(float), strict=True):
        apart = [centre - other for centre, other in zip(center_of_mass(theirs), center_of_mass(ours), strict=True)]
        assert max(map(abs, apart)) < 0.55, "a picture is laid on whole pixels, a drawing is not"
        assert np.corrcoef(shift(ours, apart, order=1).ravel(), theirs.ravel())[0, 1] > 0.92
    one_each = [image[None] for image in found.astype(np.uint8)]
    np.testing.assert_array_equal(reader.predict(one_each), reader.predict([image[None] for image in expected]))


def _smooth(points: np.ndarray) -> np.ndarray:
    """As the pointer gives them: close together."""
    steps = np.linspace(0, len(points) - 1, 60)
    return np.stack([np.interp(steps, np.arange(len(points)), points[:, axis]) for axis in (0, 1)], axis=1)


def _picture(points: np.ndarray, side: int = 400, pen: float = 0.085) -> np.ndarray:
    """Strokes as they look on the pad: round ends, black on white."""
    image = Image.new("L", (side, side), 255)
    brush, radius = ImageDraw.Draw(image), pen * side / 2
    for x, y in points * side:
        brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    brush.line([tuple(point) for point in points * side], fill=0, width=round(2 * radius))
    return np.asarray(image, np.float32) / 255


@browsed
def test_a_page_opened_as_a_file_says_what_to_do(browser: Browser, site: Site) -> None:
    page = browser.new_page()
    page.goto((site.folder / "index.html").as_uri())
    assert "python -m http.server" in page.locator("#problem").inner_text()
    page.close()


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape("not found; `npm pack onnxruntime-web@1.30.0` brings it")):
        static_page.write_page({}, tmp_path / "site", tmp_path / "none.tgz")
    (tmp_path / "other.tgz").write_bytes(b"another package")
    with pytest.raises(InputError, match=r"not onnxruntime-web 1\.30\.0 as npm has it"):
        static_page.write_page({}, tmp_path / "site", tmp_path / "other.tgz")
    with pytest.raises(InputError, match="expected a folder that is empty, or nothing"):
        static_page.write_page({}, tmp_path, tmp_path / "none.tgz")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--static", "site"), "onnxruntime-web-1.30.0.tgz: not found; `npm pack onnxruntime-web@1.30.0`"),
        (("--runtime", "x.tgz"), "--runtime goes with --static"),
        (("--static", "site", "--port", "0"), "--static writes a folder: leave out --host, --port and --no-browser"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], line: str) -> None:
    command = [sys.executable, "-m", "digitset", "demo", "sum/exact", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "site").exists()


def test_a_model_that_answers_otherwise_in_onnx_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would be if ONNX computed something else."""
    predictor = digitset.load("classify/any_hand")
    other = digitset.load("classify/mlp")
    monkeypatch.setattr(onnx_explained, "explain", lambda _, images, anchor: explain(other, images, anchor))
    with pytest.raises(InputError, match="answers of the exported model differ from torch's by"):
        onnx_explained.export_explained(predictor)


@pytest.mark.parametrize("file", ["docs/service.md", ".github/workflows/pages.yml"])
def test_one_version_is_named_everywhere(file: str) -> None:
    named = re.findall(r"onnxruntime-web@([\d.]+)", (ROOT / file).read_text(encoding="utf-8"))
    assert set(named) == {static_page.VERSION}


@browsed
@pytest.mark.slow
def test_the_whole_folder_is_small_and_all_its_models_answer(
    browser: Browser, runtime: Path | str, tmp_path: Path, mnist: Splits
) -> None:
    """Written by the command, with all models of the package."""
    if isinstance(runtime, str):
        pytest.skip(runtime)
    command = [sys.executable, "-m", "digitset", "demo", "--static", "site", "--runtime", str(runtime)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert sum(path.stat().st_size for path in (tmp_path / "site").rglob("*")) < MOST_BYTES
    for opened in opened_page(browser, Site(tmp_path / "site", None)):
        for model in opened.page.evaluate("async () => (await import('/page/api.js')).listModels()"):
            answers_are_those_of_the_library(opened.page, model["name"], 50, mnist)
