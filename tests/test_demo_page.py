"""The demo's page in a real browser: drawn, dealt, moved, switched, at any width, and nothing leaves this machine."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import demo_server
import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

import digitset

PAGE = Path(digitset.__file__).parent / "demo/page"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browsed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install one to test the page")
SEVEN = ((0.3, 0.2), (0.7, 0.2), (0.45, 0.8))
ONE = ((0.5, 0.25), (0.5, 0.75))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with demo_server.running() as (found, _):
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])


def opened(browser: Browser, address: str, **context: Any) -> Iterator[Page]:
    """The page, once it has answered. At its end: no error on its console, and no request but to the service."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    page.wait_for_selector(".large")
    yield page
    page.context.close()
    # What the service refuses, the console counts as an error of its own.
    assert [error for error in errors if "422" not in error] == []
    assert requests
    assert [url for url in requests if not url.startswith((address, "data:"))] == []


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield from opened(browser, address, viewport={"width": 1300, "height": 950})


@pytest.fixture
def phone(browser: Browser, address: str) -> Iterator[Page]:
    size = {"width": 390, "height": 844}
    yield from opened(browser, address, viewport=size, has_touch=True, is_mobile=True, color_scheme="dark")


def state(page: Page, expression: str) -> Any:
    """A value of what the page shows: `now` is its state."""
    return page.evaluate(f"async () => {{ const now = (await import('/page/state.js')).get(); return {expression}; }}")


def settled(page: Page) -> None:
    """Waits until the answer is about the digits that are there."""
    page.wait_for_function(
        """async () => {
            const { get, filled, model } = await import('/page/state.js');
            const { answers, task, tiles, anchor } = get();
            const now = JSON.stringify([task, model().model, tiles.map((one) => one.key), anchor.key]);
            const same = window.before === now && answers?.task === task && answers.model === model().model &&
                JSON.stringify(answers.keys) === JSON.stringify(filled().map((one) => one.key));
            window.before = now;
            return same;
        }""",
        polling=150,
    )


def tiles(page: Page) -> Locator:
    return page.locator(".tiles .tile:not(.blank)")


def labels(page: Page) -> list[Any]:
    return state(page, "now.tiles.filter((one) => one.pixels).map((one) => one.label)")


def do(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    settled(page)


def switch(page: Page, name: str) -> None:
    page.locator(f'label:has([value="{name}"])').click()
    settled(page)


def draw(page: Page, pad: Locator, points: tuple[tuple[float, float], ...]) -> None:
    box = pad.bounding_box()
    assert box
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=8)
    page.mouse.up()
    settled(page)


def asked(page: Page, address: str) -> float:
    """What the service says of the images that the page holds."""
    images = state(page, "now.tiles.filter((one) => one.pixels).map((one) => [...one.pixels])")
    question = {"model": "sum/exact", "images": np.reshape(images, (-1, 28, 28)).tolist()}
    return httpx.post(f"{address}/v1/predict", json=question, timeout=60).json()["answer"]


@browsed
def test_a_drawn_digit_joins_the_sum(page: Page, address: str) -> None:
    before = tiles(page).count()
    for points in (SEVEN, ONE):
        draw(page, page.locator(".tiles .blank .pad"), points)
    assert tiles(page).count() == before + 2
    assert page.locator(".tiles .blank").count() == 1
    assert int(page.locator(".large").inner_text()) == round(asked(page, address))
    assert labels(page)[-2:] == [None, None]
    assert page.locator(".truth").count() == 0, "nobody knows what a person meant to draw"
    page.wait_for_function("() => document.getElementById('status').textContent.startsWith('Exact: ')")


@browsed
def test_drawings_are_normalised_like_mnist(page: Page) -> None:
    """In a box of 20 pixels, around the centre of mass; small writing is as large and as thick as large writing."""
    small = tuple((0.1 + x / 4, 0.6 + y / 4) for x, y in SEVEN)
    do(page, "Clear all")
    for points in (SEVEN, small):
        draw(page, page.locator(".tiles .blank .pad"), points)
    large, little = np.reshape(state(page, "now.tiles.slice(0, 2).map((one) => [...one.pixels])"), (2, 28, 28))
    for image in (large, little):
        assert image.max() == 255
        rows, columns = np.nonzero(image > 40)
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        for axis in (0, 1):
            assert np.average(np.arange(28) + 0.5, weights=image.sum(axis=axis)) == pytest.approx(14, abs=0.35)
    assert np.corrcoef(large.ravel(), little.ravel())[0, 1] > 0.9


@browsed
def test_thirty_digits_and_a_model_with_ten_places(page: Page) -> None:
    do(page, "Deal 30")
    assert tiles(page).count() == 30
    truth = sum(labels(page))
    assert re.fullmatch(f"(Right|Wrong): the labels say {truth}.", page.locator(".truth").inner_text())
    switch(page, "sum/mlp")
    assert "has 10 places, one an image, and cannot take 30. Remove 20" in page.locator(".refusal").inner_text()
    switch(page, "sum/transformer")
    assert page.locator(".large").inner_text().lstrip("\u2212").isdigit()


@browsed
def test_attention_is_drawn_from_anchor_and_among_tiles(page: Page) -> None:
    switch(page, "contains")
    assert page.locator(".anchor .tile").is_visible()
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    heads = np.array(state(page, "now.answers.said.transformer.attention"))
    np.testing.assert_allclose(widths, 0.75 + 9 * heads.mean(axis=0), atol=0.01)
    page.locator('label:has([value="head-2"])').click()
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    np.testing.assert_allclose(widths, 0.75 + 9 * heads[2], atol=0.01)
    switch(page, "sum")
    assert page.locator("#lines path").count() == 0
    switch(page, "sum/transformer")
    tiles(page).nth(2).hover()
    rows = np.array(state(page, "now.answers.said.transformer.pairwise"))[:, 2].mean(axis=0)
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    np.testing.assert_allclose(widths, 0.75 + 9 * rows, atol=0.01)
    tiles(page).nth(3).focus()  # by keyboard, while the mouse stays where it is
    rows = np.array(state(page, "now.answers.said.transformer.pairwise"))[:, 3].mean(axis=0)
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    np.testing.assert_allclose(widths, 0.75 + 9 * rows, atol=0.01)


@browsed
def test_tiles_are_moved_by_hand(page: Page) -> None:
    first = labels(page)
    keys = state(page, "now.tiles.map((one) => one.key)")
    start, end = (tiles(page).nth(place).locator(".caption").bounding_box() for place in (0, 2))
    assert start
    assert end
    page.mouse.move(start["x"] + 20, start["y"] + 20)
    page.mouse.down()
    page.mouse.move(end["x"] + end["width"] - 5, end["y"] + 20, steps=10)
    page.mouse.up()
    settled(page)
    assert state(page, "now.tiles.map((one) => one.key)")[:3] == [keys[1], keys[2], keys[0]]
    do(page, "← Earlier")
    assert state(page, "now.tiles.map((one) => one.key)")[:3] == [keys[1], keys[0], keys[2]]
    do(page, "Remove")
    assert len(labels(page)) == len(first) - 1
    for _ in range(3):
        do(page, "Undo")
    assert labels(page) == first


@browsed
def test_by_keyboard_alone(page: Page) -> None:
    page.locator('[value="sum"]').focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("h2").inner_text() == "Does the anchor\u2019s digit occur in the sequence?"
    settled(page)
    page.wait_for_selector("#heads:not([hidden]) input")
    page.keyboard.press("Tab")  # the heads of attention
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Anchor")
    page.keyboard.press("Tab")  # another anchor
    page.keyboard.press("Tab")
    for keys in ("Home", "7", "ArrowRight", "4"):
        page.keyboard.press(keys)
        if keys.isdigit():
            text = "(digit) => document.activeElement.getAttribute('aria-label').includes(`test image of ${digit}`)"
            page.wait_for_function(text, arg=keys)
    assert labels(page)[:2] == [7, 4]
    page.keyboard.press("Shift+ArrowLeft")
    assert labels(page)[:2] == [4, 7]
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Digit 1 of")
    page.keyboard.press("a")
    assert state(page, "now.anchor.label") == 4
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Delete")
    assert labels(page)[0] == 4
    assert len(labels(page)) == 4
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Empty tile")
    settled(page)


@browsed
def test_pictures_are_read(page: Page, tmp_path: Path, mnist: Any) -> None:
    image = 255 - mnist.test.images[3].numpy()
    Image.fromarray(np.kron(image, np.ones((6, 6), np.uint8))).save(tmp_path / "digit.png")
    (tmp_path / "notes.png").write_text("not a picture")
    before = tiles(page).count()
    page.locator("#files").set_input_files([tmp_path / "digit.png", tmp_path / "notes.png"])
    page.wait_for_function("() => !document.getElementById('problem').hidden")
    assert page.locator("#problem").inner_text().startswith("notes.png: ")
    assert tiles(page).count() == before + 1
    pixels = np.array(state(page, "[...now.tiles.at(-2).pixels]"))
    assert np.corrcoef(pixels, mnist.test.images[3].numpy().ravel())[0, 1] > 0.8


def touch(page: Page, box: Any, points: tuple[tuple[float, float], ...]) -> None:
    """A finger that comes down at the first point and goes to the others."""
    session = page.context.new_cdp_session(page)
    for place, (x, y) in enumerate(points):
        at = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}]
        kind = "touchMove" if place else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@browsed
def test_a_click_chooses_and_draws_nothing(page: Page) -> None:
    before = labels(page)
    tiles(page).nth(3).locator(".pad").click()
    page.locator(".tiles .blank .pad").click()
    tiles(page).nth(1).locator(".pad").click()
    assert labels(page) == before
    assert page.locator(".looked .who").inner_text() == f"Digit 2 of 5, a test image of {before[1]}"
    page.keyboard.press("Delete")
    assert labels(page) == [before[0], *before[2:]]


@browsed
def test_fits_a_phone_in_the_dark(phone: Page) -> None:
    assert phone.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 20, 18)"
    for count in (5, 30):
        do(phone, f"Deal {count}")
        for task in ("contains", "classify", "sum"):
            switch(phone, task)
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    pad = phone.locator(".tiles .blank .pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box
    assert box["width"] >= 100, "room to draw with a finger"
    touch(phone, box, SEVEN)
    settled(phone)
    assert tiles(phone).count() == 31
    for button in phone.locator("main button:visible").all():
        size = button.bounding_box()
        assert size
        assert size["height"] >= 36


def luminance(colour: str) -> float:
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return float(
        np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)
    )


def test_text_has_contrast_in_light_and_dark() -> None:
    """At least 4.5 to 1, as WCAG 2 asks for (1.4.3), for all colours of text on paper."""
    schemes = re.findall(r"--paper: .*?;\s*\n.*?;\s*\n", (PAGE / "base.css").read_text())
    assert len(schemes) == 2
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#\w{6})", scheme))
        for name in ("ink", "quiet", "accent", "right", "wrong"):
            low, high = sorted((luminance(colours[name]), luminance(colours["paper"])))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (scheme, name)


def test_the_page_is_small_files_from_here_alone() -> None:
    files = sorted(PAGE.iterdir())
    assert {path.suffix for path in files} == {".html", ".css", ".js"}
    for path in files:
        text = path.read_text()
        assert len(text.splitlines()) <= 250, path
        addresses = set(re.findall(r"https?://[^\"'`\s]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path  # a name, which nothing fetches
        for name in re.findall(r'from "\./([\w.]+)"', text):
            assert (PAGE / name).is_file(), f"{path.name} imports {name}"
