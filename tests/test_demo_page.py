"""The demo's page in a real browser: drawn, dealt, moved, switched, at any width, and nothing leaves this machine."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import demo_server
import httpx
import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, ElementHandle, Locator, Page, Route, sync_playwright

import digitset
from digitset import registry
from digitset.tasks import Kind, Task, load_task

PAGE = Path(digitset.__file__).parent / "demo/page"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browsed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine; install one to test the page")
SEVEN = ((0.3, 0.2), (0.7, 0.2), (0.45, 0.8))
ONE = ((0.5, 0.25), (0.5, 0.75))
H = ((0.3, 0.2), (0.3, 0.8), (0.3, 0.5), (0.7, 0.5), (0.7, 0.2), (0.7, 0.8))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with demo_server.running() as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])


def opened(
    browser: Browser, address: str, renamed: bool = False, expected: str = "422", **context: Any
) -> Iterator[Page]:
    """The page, once it has answered. At its end: no error on its console, and no request but to the service.

    `renamed` tells the page other names of all tasks, which it cannot know. What the service refuses, or does not
    answer, the console counts as an error of its own: `expected` is in it.
    """
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(15_000)
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    if renamed:
        page.route("**/v1/models", rename_tasks)
    page.add_init_script(COUNT_REQUESTS)
    page.goto(address)
    page.wait_for_selector(".large")
    yield page
    page.context.close()
    assert [error for error in errors if expected not in error] == []
    assert requests
    assert [url for url in requests if not url.startswith((address, "data:"))] == []


def rename_tasks(route: Route) -> None:
    models = route.fetch().json()
    route.fulfill(json=[model | {"task": other_name(model["task"])} for model in models])


def other_name(task: str) -> str:
    return f"a_new_{task[::-1]}"


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


COUNT_REQUESTS = """
    window.requests = 0;
    const fetchUncounted = window.fetch;
    window.fetch = async (...given) => {
        window.requests += 1;
        try {
            return await fetchUncounted(...given);
        } finally {
            setTimeout(() => (window.requests -= 1), 50);
        }
    };
"""


def settled(page: Page) -> None:
    """Waits until nothing is asked any more, and the answer is about the digits that are there."""
    page.evaluate("async () => { window.page = await import('/page/state.js'); window.before = null; }")
    page.wait_for_function(  # a function that is async would be taken for true at once
        """() => {
            const { get, filled, model } = window.page;
            const { answers, task, tiles, anchor } = get();
            const now = JSON.stringify([task, model().name, tiles.map((one) => one.key), anchor.key]);
            const same = !window.requests && window.before === now && answers?.task === task &&
                answers.model === model().name &&
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


def draw(page: Page, pad: Locator | ElementHandle, points: tuple[tuple[float, float], ...]) -> None:
    box = pad.bounding_box()
    assert box
    positions = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*positions[0])
    page.mouse.down()
    for position in positions[1:]:
        page.mouse.move(*position, steps=8)
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
def test_a_drawing_of_no_digit_is_told(page: Page, address: str) -> None:
    """In the words in which an opened picture is told; once it is gone, they are."""
    do(page, "Clear all")
    problem = page.locator("#problem")
    draw(page, page.locator(".tiles .blank .pad"), SEVEN)
    assert problem.is_hidden()
    draw(page, page.locator(".tiles .blank .pad"), H)
    image = state(page, "[...now.tiles[1].pixels]")
    images = {"images": [np.reshape(image, (28, 28)).tolist()]}
    (looks,) = httpx.post(f"{address}/v1/looks", json=images, timeout=60).raise_for_status().json()
    assert looks["one_digit"] < 0.5
    said = problem.inner_text()
    assert re.fullmatch(rf"Drawing 2 looks like {looks['like']}; one digit: .+ %\.", said), said
    do(page, "Clear all")
    assert problem.is_hidden()


@browsed
def test_drawings_are_normalised_like_mnist(page: Page) -> None:
    """In a box of 20 pixels, the centre of mass where MNIST's is; small writing is as large and as thick as large."""
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
            assert np.average(np.arange(28), weights=image.sum(axis=axis)) == pytest.approx(14, abs=0.1)
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
    heads = np.array(state(page, "now.answers.said['contains/transformer'].attention"))
    np.testing.assert_allclose(widths, 0.75 + 9 * heads.mean(axis=0), atol=0.01)
    page.locator('label:has([value="head-2"])').click()
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    np.testing.assert_allclose(widths, 0.75 + 9 * heads[2], atol=0.01)
    switch(page, "sum")
    assert page.locator("#lines path").count() == 0
    switch(page, "sum/transformer")
    tiles(page).nth(2).hover()
    rows = np.array(state(page, "now.answers.said['sum/transformer'].pairwise"))[:, 2].mean(axis=0)
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    np.testing.assert_allclose(widths, 0.75 + 9 * rows, atol=0.01)
    tiles(page).nth(3).focus()  # by keyboard, while the mouse stays where it is
    rows = np.array(state(page, "now.answers.said['sum/transformer'].pairwise"))[:, 3].mean(axis=0)
    widths = [float(path.get_attribute("stroke-width") or 0) for path in page.locator("#lines path").all()]
    np.testing.assert_allclose(widths, 0.75 + 9 * rows, atol=0.01)


COLOURS = """(canvas) => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    return [...data].filter((_, place) => place % 4 === 3);
}"""


@browsed
@pytest.mark.parametrize("name", ["classify/mlp-vit", "sum/transformer-vit", "contains/transformer-vit"])
def test_where_a_vision_transformer_looks(page: Page, name: str) -> None:
    """Maps of the chosen digit, of all digits on demand, and of what the model gets, not of strokes being drawn."""
    task = name.partition("/")[0]
    switch(page, task)
    assert page.locator(".maps").is_hidden(), "the first model of each task has another encoder"
    switch(page, name)
    places = state(page, f"now.answers.said['{name}'].places")
    rollout, erased = np.array(places["rollout"]), np.array(places["erased"])
    assert rollout.shape == erased.shape == (5, 4, 4)
    np.testing.assert_allclose(rollout.sum(axis=(1, 2)), 1, atol=1e-4)
    assert page.locator(".tiles .map:visible").count() == 0
    assert page.locator(".strip .layers").count() == 8
    for words, values, least in (("where it looks", rollout, 0), ("what it rests on", erased, 0.1)):
        do(page, words)
        assert page.locator(".tiles .map:visible").count() == 5
        for index in range(5):
            drawn = np.array(page.locator(".tiles .map").nth(index).evaluate(COLOURS)) / 255
            strongest = max(least, np.abs(values[index]).max())
            np.testing.assert_allclose(drawn, 0.75 * np.abs(values[index]).ravel() / strongest, atol=0.005)
    draw(page, page.locator(".tiles .blank .pad"), SEVEN)
    assert page.locator(".tiles .map:visible").count() == 6
    do(page, "what it rests on")
    assert page.locator(".tiles .map:visible").count() == 0
    switch(page, f"{task}/mlp" if task == "classify" else f"{task}/exact")
    assert page.locator(".maps").is_hidden()


@browsed
def test_models_that_differ_in_their_encoder_say_so(page: Page) -> None:
    names = page.locator("#models .name").all_inner_texts()
    assert names == ["Exact", "Transformer, LeNet", "Fully connected", "Transformer, ViT"]


@browsed
def test_tiles_are_moved_by_hand(page: Page) -> None:
    first = labels(page)
    keys = state(page, "now.tiles.map((one) => one.key)")
    start, end = (tiles(page).nth(index).locator(".caption").bounding_box() for index in (0, 2))
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
    for index, (x, y) in enumerate(points):
        at = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}]
        kind = "touchMove" if index else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


FOUR = (((0.35, 0.2), (0.3, 0.55), (0.75, 0.55)), ((0.65, 0.2), (0.62, 0.85)))


@browsed
def test_a_tile_keeps_still_under_the_pen_also_among_many(page: Page) -> None:
    """The thirteenth digit makes all tiles small. Two strokes at one place are one digit, there and after it."""
    page.evaluate("async () => window.page = await import('/page/state.js')")
    page.evaluate("async () => window.page.add(await (await import('/page/api.js')).dealDigits(6))")
    settled(page)
    for count in (12, 13, 14, 15):
        blank = page.locator(".tiles .blank .pad").element_handle()
        boxes = []
        for stroke in FOUR:
            draw(page, blank, stroke)
            boxes.append(blank.bounding_box())
        assert boxes[0] == boxes[1]
        assert tiles(page).count() == count
        assert boxes[0]["width"] >= 100, "as large to draw in as before"
        if count == 13:
            page.wait_for_selector(".stage.many")
    drawn = np.array(state(page, "now.tiles.slice(-5, -1).map((one) => [...one.pixels])"))
    assert state(page, "now.tiles.slice(-5, -1).map((one) => one.strokes.length)") == [2, 2, 2, 2]
    assert np.corrcoef(drawn)[0].min() > 0.97, "the same movements draw the same digit"
    tiles(page).nth(0).locator(".pad").click()
    assert page.locator(".tiles .open").count() == 1, "when another is chosen, the last digit joins the row"


@browsed
@pytest.mark.parametrize("size", ["page", "phone"])
def test_a_drawn_tile_joins_the_many_when_the_pen_has_gone(size: str, request: pytest.FixtureRequest) -> None:
    """It stands after the tile before it, as small as that; not before the mouse has left it."""
    page: Page = request.getfixturevalue(size)
    do(page, "Deal 30")
    pad = page.locator(".tiles .blank .pad")
    pad.scroll_into_view_if_needed()
    if size == "phone":
        touch(page, pad.bounding_box(), SEVEN)
    else:
        draw(page, pad, SEVEN)
        page.wait_for_timeout(2000)
        assert page.locator(".tiles .open").count() == 2, "the mouse is there and may go on"
        page.locator("h2").hover()
    page.wait_for_function("() => document.querySelectorAll('.tiles .open').length === 1")
    assert page.locator(".tiles .open.blank").count() == 1
    before, drawn = (tiles(page).nth(index).bounding_box() for index in (29, 30))
    assert before
    assert drawn
    assert drawn["width"] == before["width"]
    assert (drawn["y"], drawn["x"]) > (before["y"], before["x"]), "after it, as everything is read"


CROSSED = """(stage) => {
    const paths = [...stage.querySelectorAll("#lines path")];
    const origin = stage.getBoundingClientRect();
    const words = [...stage.querySelectorAll(".tile:not(.open) :is(.reading, .adds, .seen), .heads label")];
    const boxes = words.filter((one) => one.checkVisibility() && (one.textContent || one.width)).map((one) => {
        const range = document.createRange();
        range.selectNodeContents(one);
        return [one, one.width ? one.getBoundingClientRect() : range.getBoundingClientRect()];
    });
    const found = new Set();
    for (const path of paths) {
        const [whole, half] = [path.getTotalLength(), path.getAttribute("stroke-width") / 2];
        for (let along = 0; along <= whole; along += 2) {
            const { x, y } = path.getPointAtLength(along);
            for (const [one, box] of boxes) {
                const [left, top] = [box.left - origin.left, box.top - origin.top];
                const [wide, high] = [x - left, y - top];
                if (wide > -half && wide < box.width + half && high > -half && high < box.height + half)
                    found.add(`${one.textContent} in ${one.closest(".tile")?.getAttribute("aria-label")}`);
            }
        }
    }
    return [...found];
}"""


@browsed
@pytest.mark.parametrize("size", ["page", "phone"])
def test_lines_of_attention_cross_no_words(size: str, request: pytest.FixtureRequest) -> None:
    """From the anchor, and from tiles in all rows; large tiles are before the lines."""
    page: Page = request.getfixturevalue(size)
    for count in (5, 30):
        do(page, f"Deal {count}")
        switch(page, "contains")
        assert page.locator("#lines path").count() == count
        assert page.locator("#stage").evaluate(CROSSED) == []
        switch(page, "sum")
        switch(page, "sum/transformer")
        for index in {0, 2, count - 2, count - 1}:
            tiles(page).nth(index).focus()
            settled(page)
            assert page.locator("#lines path").count() == count
            assert page.locator("#stage").evaluate(CROSSED) == [], index
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert page.locator(".many .open").evaluate("(one) => getComputedStyle(one).backgroundColor") == paper


def pixels(page: Page) -> Any:
    return state(page, "now.tiles.filter((one) => one.pixels).map((one) => [...one.pixels])")


@browsed
def test_a_swipe_scrolls_and_draws_nothing(phone: Page) -> None:
    before = pixels(phone)
    box = tiles(phone).nth(4).locator(".pad").bounding_box()
    touch(phone, box, tuple((0.5, 0.9 - step / 2) for step in range(12)))
    phone.wait_for_function("() => scrollY > 50")
    assert pixels(phone) == before
    phone.evaluate("scrollTo(0, 0)")
    tiles(phone).nth(1).locator(".pad").tap()
    assert phone.locator(".looked .who").inner_text().startswith("Digit 2 of 5")
    phone.get_by_role("button", name="Draw here").tap()
    phone.evaluate("scrollTo(0, 0)")
    box = tiles(phone).nth(1).locator(".pad").bounding_box()
    touch(phone, box, SEVEN)
    settled(phone)
    assert labels(phone)[1] is None
    assert state(phone, "now.tiles[1].strokes.length") == 1
    assert phone.evaluate("scrollY") == 0
    switch(phone, "contains")
    for head in phone.locator("#heads label:not(:first-of-type)").all():
        size = head.bounding_box()
        assert size
        assert min(size["width"], size["height"]) >= 44


@browsed
def test_no_says_that_weights_add_up_to_one(page: Page) -> None:
    """Lines to images that do not match are pale and broken; those of a match are neither."""
    stroke = "getComputedStyle(document.querySelector('#lines path')).stroke{0}"
    accent, quiet = "rgb(180, 71, 30)", "rgb(105, 101, 93)"
    for name, answer, colour, dashes in (
        ("contains/transformer", "No", quiet, "2px, 4px"),
        ("contains/transformer-vit", "Yes", accent, "none"),
    ):
        switch(page, "contains")
        switch(page, name)
        assert page.locator(".large").inner_text() == answer
        assert page.locator(".remark", has_text="weights add up to 1").count() == (answer == "No")
        assert page.evaluate(stroke.format("")) == colour
        assert page.evaluate(stroke.format("Dasharray")) == dashes
        weights = np.array(state(page, f"now.answers.said['{name}'].attention")).mean(axis=0)
        opacity = [float(path.get_attribute("stroke-opacity") or 0) for path in page.locator("#lines path").all()]
        np.testing.assert_allclose(opacity, 0.12 + 0.78 * np.minimum(1, 2 * weights), atol=0.01)


@browsed
def test_a_picture_of_a_row_is_split(page: Page, tmp_path: Path, mnist: Any) -> None:
    row = np.full((28, 28 * 5), 255, np.uint8)
    for place, index in enumerate((0, 1, 3)):
        row[:, 56 * place : 56 * place + 28] -= mnist.test.images[index].numpy()
    Image.fromarray(np.kron(row, np.ones((4, 4), np.uint8))).save(tmp_path / "row.png")
    do(page, "Clear all")
    page.locator("#files").set_input_files(tmp_path / "row.png")
    page.locator("#note", has_text="row.png was taken for 3 digits.").wait_for()
    settled(page)
    for image, index in zip(pixels(page), (0, 1, 3), strict=True):
        assert np.corrcoef(image, mnist.test.images[index].numpy().ravel())[0, 1] > 0.8
    do(page, "Take it for one")
    page.wait_for_function("() => !document.getElementById('note').textContent")
    page.wait_for_function("() => document.querySelectorAll('.tiles .tile:not(.blank)').length === 1")
    do(page, "Deal 30")
    page.evaluate("async () => window.page.add(await (await import('/page/api.js')).dealDigits(29))")
    page.locator("#files").set_input_files(tmp_path / "row.png")
    page.locator("#problem", has_text="row.png: there are 3 digits on it, and room for 1 more. Remove some.").wait_for()
    assert tiles(page).count() == 59


def kept(page: Page) -> Any:
    """All of the digits and of the question that a person could lose."""
    parts = "({ pixels, label, strokes }) => ({ pixels: [...pixels], label, strokes })"
    return state(page, f"[now.tiles.slice(0, -1).map({parts}), [now.anchor].map({parts}), now.task, now.choice]")


@browsed
def test_work_survives_a_reload_and_is_shared(page: Page, tmp_path: Path) -> None:
    switch(page, "contains")
    page.locator("#pens label").nth(2).click()
    draw(page, page.locator(".tiles .blank .pad"), SEVEN)
    switch(page, "contains/exact")
    page.wait_for_timeout(600)
    before = kept(page)
    shared = page.url
    page.reload()
    page.wait_for_selector(".large")
    assert kept(page) == before
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    download.value.save_as(tmp_path / "digits.json")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    download.value.save_as(tmp_path / "digits.png")
    with Image.open(tmp_path / "digits.png") as picture:
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
        assert picture.width > 1500
    do(page, "Clear all")
    page.locator("#files").set_input_files(tmp_path / "digits.json")
    page.wait_for_function("() => document.querySelectorAll('.tiles .tile:not(.blank)').length === 6")
    settled(page)
    assert kept(page) == before
    do(page, "Deal 5")
    assert kept(page) != before
    page.wait_for_timeout(600)
    page.goto(shared)  # only what is behind the # differs: nothing is loaded
    page.wait_for_function("() => document.querySelectorAll('.tiles .tile:not(.blank)').length === 6")
    settled(page)
    assert kept(page) == before
    page.goto(shared[:-40])
    page.locator("#problem", has_text="cannot be read. Is the whole link there?").wait_for()
    assert kept(page) == before
    (tmp_path / "other.json").write_text('{"digitset": 1, "tiles": [{}]}')
    page.locator("#files").set_input_files(tmp_path / "other.json")
    page.locator("#problem", has_text="other.json: expected digits that this page saved, at most 60").wait_for()
    assert kept(page) == before


@browsed
def test_redo_pens_and_a_status_that_is_over(page: Page) -> None:
    do(page, "Clear all")
    for pen in range(3):
        page.locator("#pens label").nth(pen).click()
        draw(page, page.locator(".tiles .blank .pad"), SEVEN)
    thin, medium, thick = (sum(image) for image in pixels(page))
    assert thin < 0.85 * medium
    assert medium < 0.8 * thick
    page.wait_for_function("() => document.getElementById('status').textContent")
    before = pixels(page)
    do(page, "Undo")
    do(page, "Undo")
    assert pixels(page) == before[:1]
    do(page, "Redo")
    page.keyboard.press("Control+y")
    assert pixels(page) == before
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+z")
    assert pixels(page) == before
    assert page.locator('[data-do="redo"]').get_attribute("aria-disabled") == "true"
    do(page, "Clear all")
    page.wait_for_function("() => !document.getElementById('status').textContent")


@browsed
def test_it_asks_again_until_the_service_answers(browser: Browser, address: str) -> None:
    pages = opened(browser, address, expected="net::ERR_", viewport={"width": 1300, "height": 950})
    page = next(pages)
    page.route("**/v1/*", lambda route: route.abort())
    page.get_by_role("button", name="Add one").click()
    page.locator("#problem", has_text="The service does not answer").wait_for()
    draw_unanswered(page)
    page.unroute("**/v1/*")
    page.wait_for_selector(".large")  # though the person does nothing
    assert page.locator("#problem").is_hidden()
    page.route("**/v1/*", lambda route: route.abort())
    page.reload()
    page.locator("#problem", has_text="The service does not answer").wait_for()
    page.unroute("**/v1/*")
    page.wait_for_selector(".large")
    assert page.locator("#problem").is_hidden()
    assert next(pages, None) is None


def draw_unanswered(page: Page) -> None:
    box = page.locator(".tiles .blank .pad").bounding_box()
    assert box
    page.mouse.move(box["x"] + 30, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 80, steps=5)
    page.mouse.up()
    page.locator(".large").wait_for(state="detached")
    page.locator("#problem", has_text="The service does not answer").wait_for()


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
        for task in registry.names("tasks"):
            switch(phone, task)
            assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    switch(phone, "sum")
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


@pytest.mark.parametrize("size", ["page", "phone"])
def test_accessible_by_the_rules_of_axe(size: str, request: pytest.FixtureRequest) -> None:
    """Wide and light, narrow and dark: before anything is dealt, and with an answer of each task and its details."""
    page: Page = request.getfixturevalue(size)
    assert violations(page) == []
    do(page, "Deal 5")
    for task in ("sum", "contains", "classify"):
        switch(page, task)
        assert violations(page) == [], task
    tiles(page).first.click()
    settled(page)
    assert violations(page) == []


def violations(page: Page) -> list[tuple[str, str]]:
    """What axe finds against WCAG and its best practices: the rule and the element."""
    found = Axe().run(page).response["violations"]
    return [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]]


NUMBER, DECIMAL, CHANCE = r"\u2212?\d+", r"\u2212?\d+(\.\d\d)?", r"(over |under )?[\d.]+ %"
HEADLINE = {"binary": "Yes|No", "classes": r"\d+", "count": r"\d+", "quantity": NUMBER}
READING = {"binary": "yes|no", "classes": r"\d+", "count": r"alone \d+", "quantity": NUMBER}
ADDS = {
    "binary": r"no effect|[+\u2212]\d+ %",
    "classes": r"no effect|else \d+",
    "count": r"(adds|takes) \d+",
    "quantity": r"(adds|takes) \d+(\.\d)?",
}
ALONE = {
    "binary": f"Alone: (yes|no), {CHANCE} certain.",
    "classes": r"Alone: \d+.",
    "count": r"Alone: \d+.",
    "quantity": f"Alone: {DECIMAL}.",
}
EFFECT = {
    "binary": r"(It has no effect on the answer|Its effect on the answer: [+\u2212]\d+ %).",
    "classes": r"(It has no effect on the answer|Without it the answer is \d+).",
    "count": r"Here it (adds|takes) \d+.",
    "quantity": r"Here it (adds|takes) \d+(\.\d)?.",
}
CARD = {"binary": "Yes|No", "classes": r"\d+", "count": r"\d+", "quantity": DECIMAL}
CHART = {
    "binary": f"(Yes|No), {CHANCE} certain",
    "classes": f"Distribution: {CHANCE} certain",
    "count": f"Distribution: {CHANCE} certain",
    "quantity": f"(Distribution: {CHANCE} certain; 90 % interval .*|The number that the model gives: .*)",
}


def truth(page: Page, task: Task) -> str:
    """The right answer about the digits that the page holds, by the task's rule."""
    digits = torch.tensor([labels(page)[:1] if task.single_image else labels(page)])
    anchor = torch.tensor([state(page, "now.anchor.label")]) if task.anchored else None
    answer = int(task.target(digits, torch.ones_like(digits, dtype=torch.bool), anchor))
    return ("no", "yes")[answer] if task.kind == "binary" else str(answer)


def check_mark(page: Page, task: Task, index: int, label: int) -> None:
    """A tile whose reading is not what its label says is marked, and no other."""
    anchor = torch.tensor([state(page, "now.anchor.label")]) if task.anchored else None
    right = int(task.target(torch.tensor([[label]]), torch.tensor([[True]]), anchor))
    tile = tiles(page).nth(index)
    reading = tile.locator(".reading")
    words = {"binary": ("no", "yes")[min(right, 1)], "count": f"alone {right}"}.get(task.kind, str(right))
    misread = reading.inner_text() != words
    assert ("wrong" in (reading.get_attribute("class") or "")) == misread
    assert (f"wrong: the labels say {words}" in (tile.get_attribute("aria-label") or "")) == misread


def check_words(page: Page, task: Task) -> None:
    """All words about an answer are those for an answer of this kind."""
    kind = task.kind
    headline = page.locator(".large").inner_text()
    assert re.fullmatch(HEADLINE[kind], headline)
    right = truth(page, task)
    judged = "Right" if headline.lower() == right else "Wrong"
    assert page.locator(".truth").inner_text() == f"{judged}: the labels say {right}."
    for reading in page.locator(".tiles .tile:not(.blank) .reading").all_inner_texts():
        assert re.fullmatch(r"\d" if task.single_image else READING[kind], reading)
    for adds in page.locator(".tiles .tile:not(.blank) .adds").all_inner_texts():
        assert re.fullmatch("" if task.single_image else ADDS[kind], adds)
    for index, label in enumerate(labels(page)):
        check_mark(page, task, index, label)
    wrong = r"( Wrong: the labels say (yes|no|alone \d|\d).)?"
    alone = (
        rf"Read as \d.{wrong}" if task.single_image else f"{ALONE[kind]}{wrong} {EFFECT[kind]}( Attention {CHANCE}.)?"
    )
    assert re.fullmatch(alone, page.locator(".looked .what").inner_text())
    for note in page.locator(".models .note:visible").all_inner_texts():
        assert re.fullmatch(CARD[kind], note)
    for sure in page.locator(".models .sure:visible").all_inner_texts():
        assert re.fullmatch(f"({CHANCE} certain)?", sure)
    certain = page.locator(".detail").inner_text().partition(";")[0]
    if certain.endswith("certain"):
        assert page.locator(".models :checked ~ .sure").all_inner_texts() in ([certain], [])
    assert re.fullmatch(CHART[kind], page.locator("#chart svg").get_attribute("aria-label") or "")
    assert page.locator(".anchor .tile").is_visible() == task.anchored
    shown = page.locator("body").inner_text() + str(page.locator("[aria-label]").evaluate_all(NAMES))
    assert not re.search(r"undefined|null|NaN|\[object", shown)


NAMES = "(elements) => elements.map((one) => one.getAttribute('aria-label'))"


@browsed
@pytest.mark.parametrize("renamed", [False, True], ids=["", "renamed"])
def test_words_are_right_for_every_task(browser: Browser, address: str, renamed: bool) -> None:
    """Also where the page is told names of tasks that it cannot know: it goes by what a task says of itself."""
    pages = opened(browser, address, renamed, viewport={"width": 1300, "height": 950})
    page = next(pages)
    for name in registry.names("tasks"):
        task = load_task(name)
        shown_name = other_name(name) if renamed else name
        switch(page, shown_name)
        assert page.locator("h2").inner_text() == task.question.replace("'", "\u2019")
        models = [model for model in demo_server.MODELS if model.startswith(f"{name}/")]
        for model in models:
            if len(models) > 1:
                switch(page, model)
            check_words(page, task)
            assert "It learned from" in page.locator("#about").inner_text()
        if task.single_image:  # the answer is to the tile that is chosen
            for index in (3, 0):
                tiles(page).nth(index).focus()
                page.locator(".truth", has_text=f": the labels say {labels(page)[index]}.").wait_for()
        assert page.locator("#tasks :checked + .name").inner_text() == shown_name.replace("_", " ").capitalize()
    assert next(pages, None) is None


WORDS = """async (asked) => {
    const words = await import('/page/words.js');
    return asked.map(([name, ...given]) => words[name](...given));
}"""


@browsed
def test_words_of_each_kind(page: Page) -> None:
    binary, classes, count, exact_sum = (
        {"kind": kind, "distribution": True, "single_image": False}
        for kind in ("binary", "classes", "count", "quantity")
    )
    rough_sum = exact_sum | {"distribution": False}
    cases = [
        (("contribution", binary, 0.9, -0.251), "\u221225 %"),
        (("contribution", binary, 0.9, 0.001), "no effect"),
        (("contribution", classes, 9, 2), "else 7"),
        (("contribution", classes, 7, -2), "else 9"),
        (("contribution", classes, 9, 0), "no effect"),
        (("contribution", count, 4, 0), "adds 0"),
        (("contribution", count, 4, 1), "adds 1"),
        (("contribution", exact_sum, 20, -3), "takes 3"),
        (("contribution", rough_sum, 20.1, 3.04), "adds 3.0"),
        (("effect", classes, 9, 2), "Without it the answer is 7"),
        (("effect", count, 4, 1), "Here it adds 1"),
        (("effect", binary, 0.9, 0.25), "Its effect on the answer: +25 %"),
        (("alone", count, 1), "alone: 1"),
        (("alone", binary, 0.25), "alone: no"),
        (("sureAlone", binary, 0.25), "75 % certain"),
        (("sureAlone", count, 1), None),
        (("alone", classes | {"single_image": True}, 7), "read as 7"),
        (("alone", rough_sum, -0.001), "alone: 0.00"),
        (("reading", count, 1), "alone 1"),
        (("headline", count, 1), "1"),
        (("headline", binary, 1), "Yes"),
    ]
    assert page.evaluate(WORDS, [list(asked) for asked, _ in cases]) == [words for _, words in cases]


def test_the_page_knows_no_task_by_its_name() -> None:
    """No file of the page has the name of a task as a text of its own or as a key, or compares a task with a text."""
    names = "|".join(registry.names("tasks"))
    texts = [path.read_text() for path in PAGE.iterdir() if path.suffix in (".js", ".html", ".css")]
    assert len(texts) > 10
    for text in texts:
        assert not re.search(rf"([\"'`])({names})(\1|/)", text)
        assert not re.search(rf"[{{,]\s*({names}):", text)
        assert not re.search(r"\.?\btask\b\s*[!=]==?\s*[\"'`]", text)
        assert not re.search(r"[\"'`]\s*[!=]==?\s*[\w.]*\btask\b", text)
        kinds = re.findall(r"\bkind\s*[!=]==?\s*[\"'`]([^\"'`]*)", text)
        assert set(kinds) <= set(get_args(Kind))


def luminance(colour: str) -> float:
    values = np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
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
