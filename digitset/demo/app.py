"""The service: what the page asks, and any program on this machine may ask too. `create_app` makes it."""

import io
import json
import secrets
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import numpy as np
import python_multipart  # noqa: F401  # FastAPI reads forms by it; where it is missing, `serve` says what to install
import torch
from anyio import to_thread
from fastapi import APIRouter, FastAPI, File, Form, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from jaxtyping import Float32, UInt8
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from digitset.data.mnist import load_data
from digitset.demo.answers import ask, describe
from digitset.demo.gate import ALWAYS, BODY_SECONDS, COME_BACK, FULL, LARGEST, Gate, problem
from digitset.demo.schema import (
    LONGEST,
    Answer,
    Dealt,
    Digit,
    Health,
    Images,
    Look,
    Model,
    Picture,
    Pictures,
    Problem,
    Question,
    Questions,
    Strict,
    base64_of,
    pixels,
)
from digitset.errors import InputError
from digitset.inference.predictor import Predictor
from digitset.pictures.ask import digit_and_count, page_of
from digitset.pictures.normalize import digit
from digitset.pictures.one_digit import Looks, expect_one_digit, look, look_at_marks
from digitset.pictures.read import decode, pixel_count
from digitset.rng import generator

PAGE = Path(__file__).parent / "page"
FEW = 100  # images whose answer is soon there
SMALL_PICTURE = 1_000_000  # pixels that are soon read
LONGEST_WAIT = 30  # seconds
MOST_DEALT = 100
LARGEST_PICTURE = 16_000_000  # pixels: a telephone's; a few kilobytes may hold far more
LOCAL = ("127.0.0.1", "localhost", "[::1]")
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Not readable"},
    422: {"model": Problem, "description": "Not what is expected"},
}
TOO_MUCH: dict[int | str, dict[str, Any]] = {
    408: {"model": Problem, "description": f"Not received within {BODY_SECONDS} seconds"},
    413: {"model": Problem, "description": f"More than {LARGEST:,} bytes"},
    503: {"model": Problem, "description": "Too many questions at once; Retry-After says when to come back"},
}
PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")},
    }
}

Result = TypeVar("Result")


class Files(Strict):
    """A form with pictures of one digit each, of any size, in the order of the sequence."""

    image: Annotated[list[UploadFile], File(min_length=1, max_length=LONGEST)]
    anchor: Annotated[UploadFile | None, File(description="for a task with an anchor, and for no other")] = None
    model: Annotated[str | None, Form(description="a name from /v1/models; by default the first")] = None


class Queue:
    """Work in threads: so much at once, in the order in which it came. The rest waits: so much, and not for ever."""

    def __init__(self, at_once: int, most: int) -> None:
        self.turns, self.most, self.waiting = anyio.Semaphore(at_once), most, 0

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """What the work returns. Raises HTTPException (503) if there is no room or the turn does not come."""
        try:
            self.turns.acquire_nowait()
        except anyio.WouldBlock:
            await self._wait()
        try:
            return await to_thread.run_sync(work, *arguments)
        finally:
            self.turns.release()

    async def _wait(self) -> None:
        if self.waiting >= self.most:
            raise HTTPException(503, FULL, COME_BACK)
        self.waiting += 1
        try:
            with anyio.fail_after(LONGEST_WAIT):
                await self.turns.acquire()
        except TimeoutError:
            raise HTTPException(503, FULL, COME_BACK) from None
        finally:
            self.waiting -= 1


class Queues:
    """Large work waits for other large work alone, so that small work beside it is done soon."""

    def __init__(self) -> None:
        self.small, self.large = Queue(2, most=300), Queue(1, most=30)

    def of(self, questions: list[Question]) -> Queue:
        """The queue of a call that asks all these questions; an explanation asks once more without each image."""
        counts = [(len(question.images), question.explain) for question in questions]
        images = sum(count * (count if explain else 1) for count, explain in counts)
        return self.small if images <= FEW else self.large

    @property
    def waiting(self) -> int:
        """How much work waits."""
        return self.small.waiting + self.large.waiting


class OnlyUtf8(APIRoute):
    """JSON is UTF-8 without a byte order mark (RFC 8259); Python's reader takes other encodings too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[None, None, Response]]:
        handler = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if json.detect_encoding(await request.body()) != "utf-8":
                raise HTTPException(400, "expected JSON in UTF-8 without a byte order mark, got another encoding")
            return await handler(request)

        return checked


EVERYWHERE = ("0.0.0.0", "::", "")  # all addresses of this machine, whatever it is called


def create_app(predictors: dict[str, Predictor], host: str = "127.0.0.1") -> FastAPI:
    """The page and the service for models by name ("sum/exact"); the first is where the page begins.

    `host` is a name by which requests may call this machine, beside those of the loopback: a page of another site that
    points its own name here is refused.
    """
    app = FastAPI(
        title="Digitset",
        summary="Models that read several handwritten digits at once",
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    queues = Queues()
    _add_questions(app, predictors, queues)
    _add_digits(app)
    _add_pictures(app, queues)

    @app.get(ALWAYS)
    async def health() -> Health:
        """Whether the service is there, however busy it is."""
        return Health(status="ok", waiting=queues.waiting)

    app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    asked_for = (f"[{host}]" if ":" in host else host).lower()  # as browsers write it
    names = ["*"] if host in EVERYWHERE else [*LOCAL, asked_for]
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)
    app.add_middleware(Gate)  # around all others, so that their refusals have its headers too
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unexpected)
    app.add_exception_handler(InputError, _unanswered)
    app.add_exception_handler(Exception, _broken)
    return app


def _add_questions(app: FastAPI, predictors: dict[str, Predictor], queues: Queues) -> None:
    models = [describe(name, predictor, index == 0) for index, (name, predictor) in enumerate(predictors.items())]
    router = APIRouter(route_class=OnlyUtf8)

    def answer(question: Question) -> Answer:
        if question.model not in predictors:
            raise InputError(f"unknown model {_shown(question.model)}: expected one of {', '.join(predictors)}")
        return ask(predictors[question.model], question)

    @app.get("/v1/models")
    async def list_models() -> list[Model]:
        """The models that may be asked."""
        return models

    @router.post("/v1/predict", responses=PROBLEMS | TOO_MUCH)
    async def predict(question: Question) -> Answer:
        """What a model says of a sequence of images."""
        return await queues.of([question]).do(answer, question)

    @router.post("/v1/predict/many", responses=PROBLEMS | TOO_MUCH)
    async def predict_many(several: Questions) -> list[Answer]:
        """The answers to several questions, in their order; none if one of them has none."""
        count = sum(len(question.images) for question in several.questions)
        if count > LONGEST:
            raise InputError(
                f"questions: expected at most {LONGEST:,} images in all, got {count:,}; send fewer at a time"
            )
        return await queues.of(several.questions).do(ask_all, several.questions)

    def ask_all(questions: list[Question]) -> list[Answer]:
        answers = []
        for index, question in enumerate(questions):
            try:
                answers.append(answer(question))
            except InputError as error:
                raise InputError(f"questions.{index}: {error}") from None
        return answers

    @router.post("/v1/looks", responses=PROBLEMS | TOO_MUCH)
    async def looks(asked: Images) -> list[Look]:
        """What each image looks like, as pictures are asked before a model is: one digit, or what else."""
        images = [pixels(image) for image in asked.images]
        seen = await (queues.small if len(images) <= FEW else queues.large).do(look, images)
        return [Look(one_digit=each.one_digit, like=each.like) for each in seen]

    app.include_router(router)
    _add_files(app, queues, answer, next(iter(predictors)))
    _name_models(app, predictors)


def _add_files(app: FastAPI, queues: Queues, answer: Callable[[Question], Answer], default: str) -> None:
    @app.post("/v1/predict/pictures", responses=PROBLEMS | TOO_MUCH)
    async def predict_pictures(files: Annotated[Files, Form(media_type="multipart/form-data")]) -> Answer:
        """What a model says of a sequence of pictures, each read as /v1/normalise reads it."""
        everything = [*files.image, *([files.anchor] if files.anchor else [])]
        bodies = [(_shown(each.filename or "picture"), await each.read()) for each in everything]
        pixels = await queues.small.do(lambda: sum(pixel_count(io.BytesIO(body)) for _, body in bodies))
        if pixels > LARGEST_PICTURE:
            raise InputError(f"expected at most {LARGEST_PICTURE:,} pixels in all, got {pixels:,}")
        queue = queues.small if pixels <= SMALL_PICTURE and len(bodies) <= FEW else queues.large
        return await queue.do(answer_files, files.model or default, bodies, files.anchor is not None)

    def answer_files(model: str, bodies: list[tuple[str, bytes]], anchored: bool) -> Answer:
        """The answer for the contents of files by name; in a question with an anchor, that is the last."""
        images = [_normalised(body, name).image for name, body in bodies]
        anchor = images.pop() if anchored else None
        return answer(Question.model_validate({"model": model, "images": images, "anchor": anchor}))


def _name_models(app: FastAPI, predictors: dict[str, Predictor]) -> None:
    """Puts the names of the models that are here into the service's description of itself."""
    standard_openapi = app.openapi

    def openapi() -> dict[str, Any]:
        """The schema, with the names of the models that are here."""
        schema = standard_openapi()
        schema["components"]["schemas"]["Question"]["properties"]["model"]["enum"] = list(predictors)
        return schema

    app.openapi = openapi


def _add_digits(app: FastAPI) -> None:
    test = load_data().test

    @app.get("/v1/digits", responses={422: PROBLEMS[422]})
    async def deal_digits(
        count: Annotated[int, Query(ge=1, le=MOST_DEALT)] = 5,
        digit: Annotated[int | None, Query(ge=0, le=9, description="only images of this digit")] = None,
        seed: Annotated[int | None, Query(ge=0, lt=2**53, description="random, unless given")] = None,
    ) -> Dealt:
        """Random test images of MNIST, all different. The same count, digit and seed give the same ones."""
        seed = secrets.randbelow(2**32) if seed is None else seed
        among = torch.arange(len(test)) if digit is None else (test.labels == digit).nonzero()[:, 0]
        chosen = among[torch.randperm(len(among), generator=generator(seed, "demo", "digits"))[:count]].tolist()
        digits = [
            Digit(image=base64_of(test.images[index].numpy()), label=int(test.labels[index]), index=index)
            for index in chosen
        ]
        return Dealt(digits=digits, seed=seed)


def _add_pictures(app: FastAPI, queues: Queues) -> None:
    @app.post("/v1/normalise", responses=PROBLEMS | TOO_MUCH, openapi_extra=PICTURE)
    async def normalise(request: Request) -> Picture:
        """A picture of one digit, of any size, as the models get it: 28x28, size and place as MNIST's."""
        return await work_on(await request.body(), _normalised)

    @app.post("/v1/split", responses=PROBLEMS | TOO_MUCH, openapi_extra=PICTURE)
    async def split(request: Request) -> Pictures:
        """A picture of digits in rows, of any size, as the models get each of them. Of one, as /v1/normalise has it."""
        return await work_on(await request.body(), _split)

    async def work_on(body: bytes, work: Callable[[bytes], Result]) -> Result:
        pixels = await queues.small.do(pixel_count, io.BytesIO(body))
        queue = queues.small if pixels <= SMALL_PICTURE else queues.large
        return await queue.do(work, body)


def _normalised(body: bytes, name: str = "picture") -> Picture:
    picture, among = digit_and_count(_grey(body, name), name)
    return _one(picture.digit, among, name)


def _one(image: UInt8[np.ndarray, "28 28"], among: int = 1, name: str = "picture") -> Picture:
    """The digit of a picture on which so many are found."""
    looks = look([image])[0].among(among)
    expect_one_digit(looks, name)
    return _picture(image, looks)


def _picture(image: UInt8[np.ndarray, "28 28"], looks: Looks) -> Picture:
    return Picture(image=base64_of(image), one_digit=looks.one_digit, like=looks.like)


def _split(body: bytes) -> Pictures:
    grey = _grey(body)
    try:
        page = page_of(grey)
        digits, notes = [each.picture.digit for each in page.digits], [f"picture: {note}" for note in page.notes()]
        looks, doubts = look_at_marks(digits)
    except InputError:  # one that is small on its picture is found by looking more closely, or is in pieces
        digits, looks, notes, doubts = [], [], [], []
    if len(digits) > LONGEST:
        raise InputError(f"picture: expected at most {LONGEST:,} digits, found {len(digits):,}")
    if len(digits) < 2:
        return Pictures(pictures=[_one(digit(grey))], notes=notes)
    kept = [_picture(*each) for each in zip(digits, looks, strict=True) if not each[1].refused]
    return Pictures(pictures=kept, notes=notes + doubts)


def _grey(body: bytes, name: str = "picture") -> Float32[np.ndarray, "_ _"]:
    if not body:
        raise InputError(f"{name}: expected a PNG or JPEG, got an empty body")
    return decode(io.BytesIO(body), name, LARGEST_PICTURE)


def _shown(value: str) -> str:
    """A text of the caller's in a message: short, and in characters that every encoding has."""
    return ascii(value if len(value) <= 40 else value[:40] + "...")


async def _refused(request: Request, error: Any) -> JSONResponse:
    return problem(error.status_code, str(error.detail), error.headers)


async def _unexpected(request: Request, error: Any) -> JSONResponse:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(400, "the body cannot be read: it is no JSON")
    field = ".".join(str(part) for part in first["loc"][1:] if part not in ("base64", "rows"))
    if "UploadFile" in first["msg"]:
        first["msg"] = "expected a file; with curl, write @ before its name"
    if first["type"] == "missing" and first["loc"] == ("body",):
        first["msg"] = "expected JSON, got nothing; files go to /v1/predict/pictures"
    if first["type"] == "model_attributes_type" and not isinstance(first["input"], list):
        first["msg"] = "expected JSON with the header content-type: application/json; files go to /v1/predict/pictures"
    if first["type"].startswith("string_") and "base64" in first["loc"]:
        first["msg"] = f"expected base64 of 28x28 bytes, 1048 characters; got {len(first['input'])} characters"
    return problem(422, f"{_shown(field)[1:-1] or 'body'}: {first['msg']}")


async def _unanswered(request: Request, error: Any) -> JSONResponse:
    return problem(422, str(error))


async def _broken(request: Request, error: Any) -> JSONResponse:
    """A fault of ours. Its traceback goes to the terminal, not to the caller."""
    return problem(500, "something broke here; the terminal of `digitset demo` says what")
