"""The demo's service: answers are the library's, a bad request is one clear error, many callers are all served."""

import asyncio
import base64
import contextlib
import io
import json
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import demo_server
import httpx
import numpy as np
import pytest
import schemathesis
import torch
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image, ImageDraw
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from digitset import InputError, Predictor, registry
from digitset.data.mnist import Splits
from digitset.demo import app, gate, serve
from digitset.demo import server as server_module
from digitset.demo.app import create_app
from digitset.demo.gate import HEADERS, LARGEST
from digitset.demo.server import PORT, Impatient
from digitset.inference.explain import explain
from digitset.pictures.ask import read_all
from digitset.pictures.one_digit import look

Server = tuple[str, subprocess.Popen]


@pytest.fixture(scope="module")
def predictors() -> dict[str, Predictor]:
    return demo_server.predictors()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with demo_server.running() as started:
        yield started


@pytest.fixture(scope="module")
def service(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server[0], timeout=60) as client:
        yield client


def written(image: np.ndarray) -> str:
    return base64.b64encode(image.tobytes()).decode()


def test_lists_its_models(service: httpx.Client, predictors: dict[str, Predictor]) -> None:
    models = {model["name"]: model for model in service.get("/v1/models").json()}
    assert list(models) == list(demo_server.MODELS)
    assert [name for name, model in models.items() if model["default"]] == ["sum/exact"]
    assert {name: model["longest"] for name, model in models.items() if model["longest"]} == {
        "sum/mlp": 10,
        "classify/mlp": 1,
        "classify/mlp-vit": 1,
    }
    assert {name for name, model in models.items() if model["places"]} == {name for name in models if "-vit" in name}
    kinds = {model["task"]: model["kind"] for model in models.values()}
    assert kinds == {
        "bags": "binary",
        "classify": "classes",
        "contains": "binary",
        "distinct": "count",
        "maximum": "classes",
        "sum": "quantity",
    }
    assert sorted(kinds) == list(registry.names("tasks")), "a task without a model in tests/demo_server.py"
    assert {model["task"] for model in models.values() if model["anchored"]} == {"contains"}
    assert {model["task"] for model in models.values() if model["single_image"]} == {"classify"}
    truths = {models[name]["task"]: models[name]["single_truths"] for name in models}
    assert truths["sum"] == truths["classify"] == [list(range(10))]
    assert truths["distinct"] == [[1] * 10]
    assert truths["contains"] == np.eye(10, dtype=int).tolist()
    for name, predictor in predictors.items():
        assert re.fullmatch(r"[A-Z][^()_`]+\. (.*\. )?It learned from .*\.", models[name]["about"])
        assert models[name]["parameters"] == predictor.network.parameter_count()
        assert models[name]["question"] == predictor.task.question


@pytest.mark.parametrize("name", demo_server.MODELS)
def test_answers_are_those_of_the_library(
    service: httpx.Client, predictors: dict[str, Predictor], mnist: Splits, name: str
) -> None:
    predictor = predictors[name]
    images = mnist.test.images[: 1 if predictor.task.single_image else 5].numpy()
    anchor = mnist.test.images[20].numpy() if predictor.task.anchored else None
    question = {"model": name, "images": [written(image) for image in images], "explain": True}
    question |= {} if anchor is None else {"anchor": anchor.tolist()}
    explained = service.post("/v1/predict", json=question).raise_for_status().json()
    explanation = explain(predictor, images, anchor)
    for field, value in explained.items():
        if field not in ("model", "truth", "seconds", "contributions"):
            expected = getattr(explanation, field)
            assert (value is None) == (expected is None), field
            if field == "places" and value is not None:
                for name, maps in value.items():
                    np.testing.assert_allclose(maps, getattr(expected, name), rtol=1e-3, atol=1e-4, err_msg=name)
            elif value is not None:
                np.testing.assert_allclose(value, np.asarray(expected), rtol=1e-4, atol=1e-5, err_msg=field)
    if len(images) > 1:
        np.testing.assert_allclose(explained["contributions"], explanation.contributions, rtol=1e-3, atol=1e-4)
    else:
        assert explained["contributions"] is None
    answers = predictor.predict([images], None if anchor is None else anchor[None])
    np.testing.assert_allclose(explained["answer"], answers[0], rtol=1e-4, atol=1e-5)
    rows = question | {"images": images.tolist(), "explain": False}
    plain = service.post("/v1/predict", json=rows).raise_for_status().json()
    for field in ("answer", "certainty", "interval", "distribution"):
        value = explained[field]
        assert plain[field] == (None if value is None else pytest.approx(value, rel=1e-4, abs=1e-6))
    assert plain["truth"] is plain["single_answers"] is plain["attention"] is plain["digit_probabilities"] is None


TRUTHS = {"bags": 1, "contains": 0, "distinct": 3, "maximum": 9, "sum": 25}  # of 3 9 9 4, with a 7 as the anchor


@pytest.mark.parametrize("name", demo_server.MODELS)
def test_labels_give_the_truth(service: httpx.Client, predictors: dict[str, Predictor], name: str) -> None:
    task, changes = predictors[name].task, {}
    if task.anchored:
        changes = {"anchor": IMAGE, "anchor_label": 7}
    if task.single_image:
        truths = [ask(service, model=name, images=[IMAGE], labels=[digit])["truth"] for digit in range(10)]
        assert truths == list(range(10))
    else:
        asked = question(model=name, images=[IMAGE] * 4, labels=[3, 9, 9, 4], **changes)
        assert ask(service, **asked)["truth"] == TRUTHS[task.name]
        if task.anchored:
            assert ask(service, **asked | {"anchor_label": 4})["truth"] == 1
    unlabelled = {"model": name, "images": [IMAGE]} | {key: value for key, value in changes.items() if key == "anchor"}
    assert ask(service, **unlabelled)["truth"] is None


def test_deals_test_images(service: httpx.Client, mnist: Splits) -> None:
    first, again = (service.get("/v1/digits", params={"count": 30, "seed": 7}).json() for _ in range(2))
    assert first == again
    assert len({digit["index"] for digit in first["digits"]}) == 30
    for digit in first["digits"]:
        assert digit["image"] == written(mnist.test.images[digit["index"]].numpy())
        assert digit["label"] == int(mnist.test.labels[digit["index"]])
    eights = service.get("/v1/digits", params={"count": 100, "digit": 8}).json()["digits"]
    assert {digit["label"] for digit in eights} == {8}
    seeds = {service.get("/v1/digits").json()["seed"] for _ in range(5)}
    assert len(seeds) == 5


def test_says_what_images_look_like(service: httpx.Client, mnist: Splits) -> None:
    """Of each alone, as a program may ask and as pictures are asked; what is no image is refused."""
    lines = np.zeros((28, 28), np.uint8)
    lines[4:24, 6:9] = lines[4:24, 19:22] = lines[12:15, 6:22] = 255
    images = [mnist.test.images[0].numpy(), lines]
    told = service.post("/v1/looks", json={"images": [image.tolist() for image in images]}).raise_for_status().json()
    assert [each["one_digit"] for each in told] == pytest.approx([each.one_digit for each in look(images)])
    assert told[0]["like"] == "one digit"
    assert told[1]["one_digit"] < 0.5
    assert told[1]["like"] != "one digit"
    assert service.post("/v1/looks", json={"images": []}).status_code == 422


def test_normalises_a_picture(service: httpx.Client, predictors: dict[str, Predictor], mnist: Splits) -> None:
    """A test image as dark ink on light paper, larger and off the middle, comes back much as it was."""
    image = mnist.test.images[0].numpy()
    paper = np.full((300, 400), 235.0)
    paper[90:202, 200:312] -= np.kron(image, np.ones((4, 4))) * 0.8
    stream = io.BytesIO()
    Image.fromarray(paper.astype(np.uint8)).save(stream, "PNG")
    headers = {"content-type": "image/png"}
    response = service.post("/v1/normalise", content=stream.getvalue(), headers=headers).raise_for_status()
    normalised = np.frombuffer(base64.b64decode(response.json()["image"]), np.uint8)
    assert np.corrcoef(normalised, image.ravel())[0, 1] > 0.8
    for body, message in ((b"", "empty"), (b"GIF89a", "picture"), (stream.getvalue()[:200], "picture: damaged")):
        refused = service.post("/v1/normalise", content=body, headers=headers)
        assert refused.status_code == 422
        assert message in refused.json()["error"]
        assert "/" not in refused.json()["error"]


def test_splits_a_picture_of_a_row(service: httpx.Client, mnist: Splits) -> None:
    """In reading order, without what is no digit; a picture of one digit as /v1/normalise has it."""
    row = np.full((40, 400), 255, np.uint8)
    for place in range(5):
        row[6:34, 80 * place + 20 : 80 * place + 48] -= mnist.test.images[place].numpy()

    def sent(path: str, picture: np.ndarray) -> Any:
        stream = io.BytesIO()
        Image.fromarray(np.kron(picture, np.ones((3, 3), np.uint8))).save(stream, "PNG")
        response = service.post(path, content=stream.getvalue(), headers={"content-type": "image/png"})
        return response.raise_for_status().json()

    def expect_digits(split: Any) -> None:
        assert len(split["pictures"]) == 5
        for place, picture in enumerate(split["pictures"]):
            pixels = np.frombuffer(base64.b64decode(picture["image"]), np.uint8)
            assert np.corrcoef(pixels, mnist.test.images[place].numpy().ravel())[0, 1] > 0.8
            assert picture["like"] == "one digit"

    split = sent("/v1/split", row)
    expect_digits(split)
    assert split["notes"] == []
    assert sent("/v1/split", row[:, :80])["pictures"] == [sent("/v1/normalise", row[:, :80])]
    letter = Image.new("L", (80, 40), 255)
    for line in ((30, 8, 30, 32), (50, 8, 50, 32), (30, 20, 50, 20)):  # H
        ImageDraw.Draw(letter).line(line, 0, 3)
    split = sent("/v1/split", np.concatenate([row, np.asarray(letter)], axis=1))
    expect_digits(split)
    (note,) = split["notes"]
    assert note.startswith("picture: of 6 marks, number 6 is left out: it looks like ")
    refused = service.post("/v1/split", content=b"")
    assert (refused.status_code, refused.json()["error"]) == (422, "picture: expected a PNG or JPEG, got an empty body")


def test_splits_digits_that_touch_as_the_command_does(service: httpx.Client, mnist: Splits, tmp_path: Path) -> None:
    """Also what is left out is told in the same words."""
    sheet = np.zeros((160, 320), np.float32)
    for left, index in ((20, 3), (64, 10), (230, 30)):  # the first two overlap
        there = sheet[50:134, left : left + 84]
        np.maximum(there, np.kron(mnist.test.images[index].numpy() / np.float32(255), np.ones((3, 3))), out=there)
    sheet[88:94, 150:210] = 1
    Image.fromarray((255 - 215 * sheet).astype(np.uint8)).save(tmp_path / "page.png")
    content = (tmp_path / "page.png").read_bytes()
    told = service.post("/v1/split", content=content, headers={"content-type": "image/png"}).raise_for_status().json()
    asked = read_all((str(tmp_path / "page.png"),), None, split=True)
    assert len(asked.pictures) == 3
    assert [each["image"] for each in told["pictures"]] == [written(image) for image in asked.images]
    assert told["notes"] == ["picture: left out ink as large as a digit: 1 in a bar or sign"]


def question(**changes: object) -> dict:
    return {"model": "sum/exact", "images": [written(np.zeros((28, 28), np.uint8))], **changes}


def ask(service: httpx.Client, **changes: object) -> dict:
    return service.post("/v1/predict", json=question(**changes)).raise_for_status().json()


def paper(image: np.ndarray) -> bytes:
    """An image as a PNG: dark ink on light paper, five times as large."""
    stream = io.BytesIO()
    Image.fromarray(255 - image).resize((140, 140)).save(stream, "PNG")
    return stream.getvalue()


def test_answers_for_files_of_a_form(service: httpx.Client, predictors: dict[str, Predictor], mnist: Splits) -> None:
    """As `curl -F image=@7.png` sends them; read as /v1/normalise reads them."""
    files = [paper(mnist.test.images[place].numpy()) for place in (3, 5, 12)]
    images = [service.post("/v1/normalise", content=file).json()["image"] for file in files]
    forms: list[Any] = [("image", (f"{place}.png", file)) for place, file in enumerate(files)]
    for name, anchored in (("sum/exact", False), ("sum/transformer", False), ("contains/exact", True)):
        anchor = [("anchor", ("anchor.png", files[0]))] if anchored else []
        found = service.post("/v1/predict/pictures", files=forms + anchor, data={"model": name})
        assert found.status_code == 200, found.text
        asked = question(model=name, images=images) | ({"anchor": images[0]} if anchored else {})
        assert found.json() | {"seconds": 0} == service.post("/v1/predict", json=asked).json() | {"seconds": 0}
    by_default = service.post("/v1/predict/pictures", files=forms[:1]).json()
    assert by_default["model"] == next(iter(predictors))


def test_a_bad_form_is_one_clear_error(service: httpx.Client, mnist: Splits) -> None:
    good = ("7.png", paper(mnist.test.images[3].numpy()))
    page = io.BytesIO()
    Image.new("L", (3_000, 3_000), 255).save(page, "png")
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "image: Field required"),
        ({"json": {"image": "7.png"}}, "image: Field required"),
        ({"files": [("anchor", good)]}, "image: Field required"),
        ({"files": [("image", good), ("anchr", good)]}, "anchr: Extra inputs are not permitted"),
        ({"files": [("anchor", good)], "data": {"image": "7.png"}}, "image.0: expected a file; with curl, write @"),
        ({"files": [("image", ("7.png", b""))]}, "'7.png': expected a PNG or JPEG, got an empty body"),
        ({"files": [("image", good), ("image", ("b.txt", b"7"))]}, "'b.txt': expected a picture"),
        ({"files": [("image", good)], "data": {"model": "sum/none"}}, "unknown model 'sum/none': expected one of"),
        ({"files": [("image", good)], "data": {"model": "contains/exact"}}, "expects anchors"),
        ({"files": [("image", good)] * 2, "data": {"model": "classify/mlp"}}, "about one image, got 2"),
        ({"files": [("image", ("7.png", page.getvalue()))] * 2}, "at most 16,000,000 pixels in all, got 18,000,000"),
        ({"content": b"7", "headers": {"content-type": "multipart/form-data"}}, "boundary"),
    ]
    for sent, message in cases:
        response = service.post("/v1/predict/pictures", **sent)
        assert response.status_code in (400, 422), response.text
        assert list(response.json()) == ["error"]
        assert message in response.json()["error"]
        assert len(response.content) < 500


def test_what_is_no_json_is_told_where_it_belongs(service: httpx.Client) -> None:
    """As `curl -d` and `curl -F` send it."""
    forms: list[dict[str, Any]] = [{"data": {"model": "sum/exact"}}, {"files": [("image", ("7.png", b"7"))]}]
    for sent in [*forms, {"content": b"{}"}]:
        response = service.post("/v1/predict", **sent)
        assert response.status_code == 422
        assert response.json()["error"] == (
            "body: expected JSON with the header content-type: application/json; files go to /v1/predict/pictures"
        )


@pytest.mark.parametrize("path", ["/v1/predict", "/v1/predict/many"])
def test_a_question_without_a_body_is_told_what_is_expected(service: httpx.Client, path: str) -> None:
    response = service.post(path, content=b"", headers={"content-type": "application/json"})
    assert response.status_code == 422
    assert response.json()["error"] == "body: expected JSON, got nothing; files go to /v1/predict/pictures"


def test_answers_several_questions_in_one_call(service: httpx.Client, mnist: Splits) -> None:
    asked = [
        question(model=name, images=[written(image) for image in mnist.test.images[:count].numpy()])
        for name, count in (("sum/exact", 3), ("sum/transformer", 1), ("sum/exact", 7))
    ]
    answers = service.post("/v1/predict/many", json={"questions": asked}).raise_for_status().json()
    assert [answer["model"] for answer in answers] == ["sum/exact", "sum/transformer", "sum/exact"]
    for one, answer in zip(asked, answers, strict=True):
        assert answer | {"seconds": 0} == ask(service, **one) | {"seconds": 0}
    for questions, message in (
        ([asked[0], question(model="sum/mlp", images=[IMAGE] * 11)], "questions.1: "),
        ([question(model="sum/none")], "questions.0: unknown model 'sum/none'"),
        ([question(images=[IMAGE] * 501)] * 2, "questions: expected at most 1,000 images in all, got 1,002"),
        ([], "questions: List should have at least 1 item"),
    ):
        refused = service.post("/v1/predict/many", json={"questions": questions})
        assert refused.status_code == 422
        assert message in refused.json()["error"]


IMAGE = [[0] * 28] * 28
BAD = [
    (b"", "expected JSON, got nothing"),
    (b"{", "JSON"),
    (b"[" * 100_000, ""),
    (b"[]", "object"),
    (json.dumps(question(images=[])).encode(), "at least 1 item"),
    (json.dumps(question(images=[""])).encode(), "expected base64 of 28x28 bytes, 1048 characters; got 0"),
    (json.dumps(question(images=["A" * 1048])).encode(), "expected base64"),
    (json.dumps(question(images=[[[0] * 28] * 27])).encode(), "images.0: List should have at least 28 items"),
    (
        json.dumps(question(images=[[[256] * 28] * 28])).encode(),
        "images.0.0.0: Input should be less than or equal to 255",
    ),
    (json.dumps(question(images=[[[True] * 28] * 28])).encode(), "valid integer"),
    (json.dumps(question(images=[[[float("nan")] * 28] * 28])).encode(), "valid integer"),
    (json.dumps(question(images=[[["9"] * 28] * 28])).encode(), "valid integer"),
    (b'{"model": "sum/exact", "images": [[[' + b"9" * 5_000 + b"]]]}", ""),
    (json.dumps(question(images=[IMAGE] * 1_001)).encode(), "at most 1000 items"),
    (json.dumps(question(images=[IMAGE] * 101, explain=True)).encode(), "explanations are for up to 100 images"),
    (json.dumps(question(model="sum/\ud800")).encode(), "unknown model 'sum/\\ud800': expected one of sum/exact"),
    (json.dumps(question(anchor=IMAGE)).encode(), "takes no anchors"),
    (json.dumps(question(model="contains/exact")).encode(), "expects anchors"),
    (json.dumps(question(model="sum/mlp", images=[IMAGE] * 11)).encode(), "at most 10 images"),
    (json.dumps(question(model="classify/mlp", images=[IMAGE] * 2)).encode(), "about one image, got 2"),
    (json.dumps(question(labels=[10])).encode(), "labels.0: Input should be less than or equal to 9"),
    (json.dumps(question(labels=[1, 2])).encode(), "labels: expected one for each of 1 images, got 2"),
    (json.dumps(question(labels=[])).encode(), "labels: List should have at least 1 item"),
    (json.dumps(question(labels=["1"])).encode(), "labels.0: Input should be a valid integer"),
    (json.dumps(question(labels=[1], anchor_label=1)).encode(), "anchor_label: task 'sum' takes no anchors"),
    (
        json.dumps(question(model="contains/exact", anchor=IMAGE, labels=[1])).encode(),
        "anchor_label: task 'contains' needs it beside 'labels'",
    ),
    (
        json.dumps(question(model="contains/exact", anchor=IMAGE, anchor_label=1)).encode(),
        "labels: expected one for each of 1 images, got 0",
    ),
    (json.dumps(question(explian=True)).encode(), "explian: Extra inputs are not permitted"),
    (json.dumps(question(explain="yes")).encode(), "valid boolean"),
]


@pytest.mark.parametrize(("body", "message"), BAD, ids=range(len(BAD)))
def test_a_bad_question_is_one_clear_error(service: httpx.Client, body: bytes, message: str) -> None:
    response = service.post("/v1/predict", content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert list(response.json()) == ["error"]
    assert message in response.json()["error"]
    assert len(response.content) < 500


def test_other_bad_requests(service: httpx.Client) -> None:
    cases = [("/v1/digits?count=0", 422), ("/v1/digits?digit=x", 422), ("/v1/predict", 405), ("/nothing", 404)]
    for path, status in cases:
        response = service.get(path)
        assert (response.status_code, list(response.json())) == (status, ["error"])
    assert service.get("/../../pyproject.toml").status_code == 404
    assert service.get("/%2e%2e/app.py").status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8000", ""])
def test_another_sites_name_is_refused(service: httpx.Client, host: str) -> None:
    for path in ("/", "/v1/models"):
        response = service.get(path, headers={"host": host})
        assert response.status_code == 400
        assert response.headers.items() >= HEADERS.items()


def test_another_sites_page_is_refused(service: httpx.Client) -> None:
    """A browser sends such a request without asking first."""
    own = f"{service.base_url.scheme}://{service.base_url.netloc.decode()}"
    here = service.base_url.netloc.decode()
    for origin in ("http://evil.example", "null", "", here, f"https://evil.example/?://{here}", f"{own}.evil.example"):
        assert service.get("/v1/models", headers={"origin": origin}).status_code == 403, origin
    assert service.get("/v1/models", headers={"origin": own}).status_code == 200
    twice = [("origin", own), ("origin", own)]
    assert service.get("/v1/models", headers=twice).status_code == 403


def test_a_host_of_all_addresses_answers_to_any_name(predictors: dict[str, Predictor]) -> None:

    async def ask(host: str) -> httpx.Response:
        transport = httpx.ASGITransport(create_app(predictors, host))
        async with httpx.AsyncClient(transport=transport, base_url="http://a-machine.example") as client:
            return await client.get("/v1/models")

    assert asyncio.run(ask("0.0.0.0")).status_code == 200
    assert asyncio.run(ask("127.0.0.1")).status_code == 400
    assert asyncio.run(ask("A-Machine.example")).status_code == 200


def test_local_names_are_served(service: httpx.Client) -> None:
    for host in ("localhost", "localhost:1234", "127.0.0.1", "[::1]:8000"):
        assert service.get("/v1/models", headers={"host": host}).status_code == 200


def test_a_body_that_is_too_large_is_not_read(service: httpx.Client) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(LARGEST // 2**16 + 1):
            yield b" " * 2**16

    for body in (b" " * (LARGEST + 1), chunks()):
        response = service.post("/v1/predict", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 413
        assert "at most 4,194,304 bytes" in response.json()["error"]
    assert service.post("/v1/normalise", content=b" " * (LARGEST + 1)).status_code == 413


def test_health_is_told(service: httpx.Client) -> None:
    assert service.get("/health").json() == {"status": "ok", "waiting": 0}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_json_is_utf_8(service: httpx.Client, encoding: str) -> None:
    headers = {"content-type": "application/json"}
    for path, asked in (("/v1/predict", question()), ("/v1/predict/many", {"questions": [question()]})):
        response = service.post(path, content=json.dumps(asked).encode(encoding), headers=headers)
        assert response.status_code == 400
        assert "expected JSON in UTF-8 without a byte order mark" in response.json()["error"]
        assert service.post(path, content=json.dumps(asked).encode(), headers=headers).status_code == 200


async def within(predictors: dict[str, Predictor], *requests: dict[str, Any]) -> list[httpx.Response]:
    """The responses of an app in this process to requests at once."""
    transport = httpx.ASGITransport(create_app(predictors))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
        return await asyncio.gather(*(client.request(**request) for request in requests))


def test_small_questions_do_not_wait_for_large_ones(predictors: dict[str, Predictor]) -> None:
    ended = []

    async def ask(client: httpx.AsyncClient, name: str, *images: int) -> None:
        several = {"questions": [question(model="sum/transformer", images=[IMAGE] * count) for count in images]}
        assert (await client.post("/v1/predict/many", json=several)).status_code == 200
        ended.append(name)

    async def ask_all() -> None:
        transport = httpx.ASGITransport(create_app(predictors))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=60) as client:
            large = [asyncio.create_task(ask(client, "large", *each)) for each in [[500], [90] * 5] * 2]
            await asyncio.sleep(0)
            await ask(client, "small", 1)
            await asyncio.gather(*large)

    asyncio.run(ask_all())
    assert ended.index("small") < 3


def test_when_it_is_full_callers_are_told_to_come_back(
    predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"method": "POST", "url": "/v1/predict", "json": question()}
    health = {"method": "GET", "url": "/health"}
    bytes_of_two = 2 * len(json.dumps(question()))
    for limits in ({"REQUESTS": 2}, {"HELD": bytes_of_two, "SMALL_BODY": 0}):
        with monkeypatch.context() as patch:
            for name, value in limits.items():
                patch.setattr(gate, name, value)
            *answers, well = asyncio.run(within(predictors, *[asked] * 20, health))
        assert well.status_code == 200
        assert {answer.status_code for answer in answers} == {200, 503}
        for answer in answers:
            assert answer.status_code == 200 or answer.headers["retry-after"] == "1"
    with monkeypatch.context() as patch:
        patch.setattr(gate, "HELD", bytes_of_two)
        assert {answer.status_code for answer in asyncio.run(within(predictors, *[asked] * 20))} == {200}
    full = app.Queue(1, most=1)

    async def three() -> list[Any]:
        return await asyncio.gather(*(full.do(time.sleep, 0.2) for _ in range(3)), return_exceptions=True)

    codes = [getattr(each, "status_code", 200) for each in asyncio.run(three())]
    assert codes == [200, 200, 503]
    monkeypatch.setattr(app, "LONGEST_WAIT", 0.05)
    assert [getattr(each, "status_code", 200) for each in asyncio.run(three())] == [200, 503, 503]


def test_a_body_that_does_not_come_is_given_up(
    predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.1)

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(20)

    request = {"method": "POST", "url": "/v1/predict", "content": slow()}
    (response,) = asyncio.run(within(predictors, request))
    assert response.status_code == 408
    assert response.headers["connection"] == "close"


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def in_a_thread(predictors: dict[str, Predictor]) -> Iterator[tuple[int, set[Any]]]:
    """The port and the connections of a server in this process, whose limits can be changed."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(create_app(predictors), http=Impatient, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()[1], server.server_state.connections
    finally:
        server.should_exit = True
        thread.join()


def test_who_says_nothing_is_cut_off(predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether nothing is sent, half a head, or many questions whose answers are not taken."""
    monkeypatch.setattr(server_module, "SILENCE", 0.5)
    request = b"GET /v1/digits?count=100&seed=1 HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with in_a_thread(predictors) as (port, connections):
        callers = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        callers[1].sendall(request[:30])
        callers[2].sendall(request * 200)
        wait_for(lambda: len(connections) > 0)
        wait_for(lambda: not connections)
        for caller in callers:
            caller.close()


def test_silent_connections_lock_nobody_out(predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "CONNECTIONS", 20)
    with in_a_thread(predictors) as (port, connections):
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port}/v1/models", timeout=60).status_code == 200
        wait_for(lambda: len(connections) <= 20)
        for caller in silent:
            caller.close()


def test_all_addresses_are_a_guard_given_up(
    predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(uvicorn.Server, "run", lambda *arguments, **more: None)
    serve(predictors, host="0.0.0.0", port=0, open_browser=False)
    assert "everybody in the network may ask" in capsys.readouterr().err
    serve(predictors, port=0, open_browser=False)
    assert capsys.readouterr().err == ""


def peak(process: subprocess.Popen) -> float:
    """MiB, the most that a process had so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads a process's peak memory from /proc")
def test_hostile_bodies_take_bounded_memory(server: Server, service: httpx.Client) -> None:
    """Each body is of 4 MB; as Python's objects they are at most some tens of times that."""
    service.post("/v1/predict", json=question())
    before = peak(server[1])
    size = LARGEST - 100
    hostile = [
        json.dumps(question(images=[[[""] * 28] * 28] * 1_000), separators=(",", ":")).encode(),
        b'{"model":"a","images":[' + b"[]," * (size // 3 - 20) + b"[]]}",
        b'{"model":"a","images":[[[' + b'"",' * (size // 3 - 20) + b'""]]]}',
        b"{" + b",".join(b'"%x":1' % key for key in range(size // 12)) + b"}",
        b'{"model":"' + b"a" * size + b'","images":[]}',
        b'{"model":"sum/exact","images":' + b"[" * size,
        b'{"model":"sum/exact","images":[""],"labels":[' + b"1," * (size // 2 - 40) + b"1]}",
    ]
    for body in hostile:
        response = service.post("/v1/predict", content=body, headers={"content-type": "application/json"})
        assert response.status_code in (400, 422)
        assert len(response.content) < 500
    assert peak(server[1]) - before < 150


def test_a_fault_of_ours_tells_no_traceback(predictors: dict[str, Predictor]) -> None:
    broken = demo_server.predictors()["sum/exact"]
    broken.network.model.head = None

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(create_app({"sum/exact": broken}), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.post("/v1/predict", json=question())

    response = asyncio.run(ask())
    assert response.status_code == 500
    assert response.json() == {"error": "something broke here; the terminal of `digitset demo` says what"}


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]
CHECKED = [
    *(not_a_server_error, checks.status_code_conformance, checks.content_type_conformance),
    *(checks.response_schema_conformance, checks.negative_data_rejection, checks.unsupported_method),
]
# To the eyes of a schema: no input, and any bytes.
ALWAYS_RIGHT = ("/health", "/v1/models", "/v1/normalise", "/v1/predict/pictures", "/v1/split")


@pytest.mark.parametrize("examples", [3, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_does_what_its_schema_says(server: Server, examples: int) -> None:
    """What the schema allows and what it does not, made up by Schemathesis: no 5xx, no answer but what it describes."""
    schema = schemathesis.openapi.from_url(f"{server[0]}/v1/openapi.json")
    paths = []
    for operation in (result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)):
        for mode in GenerationMode:
            if mode is GenerationMode.NEGATIVE and operation.path in ALWAYS_RIGHT:
                continue

            @settings(max_examples=examples, deadline=None, suppress_health_check=QUIET, phases=[Phase.generate])
            @given(case=operation.as_strategy(generation_mode=mode))
            def holds(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKED)

            holds()
            paths.append(operation.path)
    assert sorted(set(paths)) == [
        "/health",
        "/v1/digits",
        "/v1/looks",
        "/v1/models",
        "/v1/normalise",
        "/v1/predict",
        "/v1/predict/many",
        "/v1/predict/pictures",
        "/v1/split",
    ]


async def callers(address: str, asked: list[dict], answers: np.ndarray, seconds: float) -> list[int]:
    """Fifty at once, each with questions in an order of its own; how many each had answered. Any wrong one raises."""

    async def caller(seed: int) -> int:
        end, draw, count = time.monotonic() + seconds, random.Random(seed), 0
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            while time.monotonic() < end:
                index = draw.randrange(len(asked))
                response = await client.post("/v1/predict", json=asked[index])
                assert response.status_code == 200, response.text
                assert response.json()["answer"] == pytest.approx(float(answers[index]), rel=1e-3, abs=1e-3)
                count += 1
        return count

    return await asyncio.gather(*(caller(seed) for seed in range(50)))


@pytest.mark.parametrize("seconds", [1.5, pytest.param(30, marks=pytest.mark.slow)])
def test_fifty_callers_at_once_are_all_answered_right(
    server: Server, predictors: dict[str, Predictor], mnist: Splits, seconds: float
) -> None:
    sequences = [mnist.test.images[start : start + 1 + start % 10].numpy() for start in range(100)]
    asked = [question(model="sum/transformer", images=[written(i) for i in images]) for images in sequences]
    answers = predictors["sum/transformer"].predict(sequences)
    assert len({round(float(answer), 2) for answer in answers}) > 50, "too many answers alike to tell one from another"
    counts = asyncio.run(callers(server[0], asked, answers, seconds))
    assert min(counts) >= 1


def test_a_taken_port_is_one_clear_error(predictors: dict[str, Predictor]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1, port {port}: .*; choose another --port"):
            serve(predictors, port=port, open_browser=False)
    with pytest.raises(InputError, match="--host: expected an address of this machine, got nowhere"):
        serve(predictors, host="nowhere", open_browser=False)
    for host in ("\udcff", "a" * 300):
        with pytest.raises(InputError, match="--host: expected an address of this machine"):
            serve(predictors, host=host, open_browser=False)
    with pytest.raises(InputError, match="port 70000"):
        serve(predictors, port=70_000, open_browser=False)


def test_where_no_port_is_asked_for_the_next_free_one_is_taken() -> None:
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # where another program has it, it is taken all the same
            stack.enter_context(socket.create_server(("127.0.0.1", PORT)))
        first = stack.enter_context(server_module._listening("127.0.0.1", None)).getsockname()[1]
        second = stack.enter_context(server_module._listening("127.0.0.1", None)).getsockname()[1]
        assert PORT < first < second < PORT + 20


def test_it_leaves_as_many_threads_as_there_were(predictors: dict[str, Predictor]) -> None:
    torch.set_num_threads(2)
    try:
        with pytest.raises(InputError, match="port 70000"):
            serve(predictors, port=70_000, open_browser=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "digitset.demo.server", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=re.escape("the demo needs uvicorn: install digitset[demo]")):
        serve({})


def test_ctrl_c_is_a_clean_end(server: Server) -> None:
    """The last test: nobody asks this server after it."""
    address, process = server
    assert httpx.get(f"{address}/v1/models").status_code == 200
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in errors
