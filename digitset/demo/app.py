"""The service: what the page asks, and any program on this machine may ask too. `create_app` makes it."""

import io
import secrets
from pathlib import Path
from typing import Annotated, Any

import anyio
import numpy as np
import torch
from anyio import to_thread
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from jaxtyping import Float32
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from digitset.data.mnist import load_data
from digitset.demo.answers import ask, describe
from digitset.demo.gate import LARGEST, Gate
from digitset.demo.schema import (
    LONGEST,
    Answer,
    Dealt,
    Digit,
    Model,
    Picture,
    Pictures,
    Problem,
    Question,
    Questions,
    base64_of,
)
from digitset.errors import InputError
from digitset.inference.predictor import Predictor
from digitset.pictures.normalize import digit
from digitset.pictures.read import decode
from digitset.pictures.segment import split_picture
from digitset.rng import generator

PAGE = Path(__file__).parent / "page"
AT_ONCE = 2  # questions that are being answered; the others wait
MOST_DEALT = 100
LARGEST_PICTURE = 16_000_000  # pixels: a telephone's; a few kilobytes may hold far more
LOCAL = ("127.0.0.1", "localhost", "[::1]")
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "Not readable"},
    422: {"model": Problem, "description": "Not what is expected"},
}
TOO_LARGE: dict[int | str, dict[str, Any]] = {
    413: {"model": Problem, "description": f"More than {LARGEST:,} bytes"},
}
PICTURE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in ("image/png", "image/jpeg")},
    }
}


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
    _add_questions(app, predictors)
    _add_digits(app)
    _add_pictures(app)
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


def _add_questions(app: FastAPI, predictors: dict[str, Predictor]) -> None:
    models = [describe(name, predictor, index == 0) for index, (name, predictor) in enumerate(predictors.items())]
    turn = anyio.CapacityLimiter(AT_ONCE)

    def named(question: Question) -> Predictor:
        if question.model not in predictors:
            raise InputError(f"unknown model {_shown(question.model)}: expected one of {', '.join(predictors)}")
        return predictors[question.model]

    @app.get("/v1/models")
    async def list_models() -> list[Model]:
        """The models that may be asked."""
        return models

    @app.post("/v1/predict", responses=PROBLEMS | TOO_LARGE)
    async def predict(question: Question) -> Answer:
        """What a model says of a sequence of images."""
        return await to_thread.run_sync(ask, named(question), question, limiter=turn)

    @app.post("/v1/predict/many", responses=PROBLEMS | TOO_LARGE)
    async def predict_many(several: Questions) -> list[Answer]:
        """The answers to several questions, in their order; none if one of them has none."""
        count = sum(len(question.images) for question in several.questions)
        if count > LONGEST:
            raise InputError(
                f"questions: expected at most {LONGEST:,} images in all, got {count:,}; send fewer at a time"
            )
        answers = []
        for index, question in enumerate(several.questions):
            try:
                answers.append(await to_thread.run_sync(ask, named(question), question, limiter=turn))
            except InputError as error:
                raise InputError(f"questions.{index}: {error}") from None
        return answers

    _name_models(app, predictors)


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


def _add_pictures(app: FastAPI) -> None:
    turn = anyio.CapacityLimiter(AT_ONCE)

    @app.post("/v1/normalise", responses=PROBLEMS | TOO_LARGE, openapi_extra=PICTURE)
    async def normalise(request: Request) -> Picture:
        """A picture of one digit, of any size, as the models get it: 28x28, size and place as MNIST's."""
        body = await request.body()
        return await to_thread.run_sync(_normalised, body, limiter=turn)

    @app.post("/v1/split", responses=PROBLEMS | TOO_LARGE, openapi_extra=PICTURE)
    async def split(request: Request) -> Pictures:
        """A picture of digits in rows, of any size, as the models get each of them. Of one, as /v1/normalise has it."""
        body = await request.body()
        return await to_thread.run_sync(_split, body, limiter=turn)


def _normalised(body: bytes) -> Picture:
    return Picture(image=base64_of(digit(_grey(body))))


def _split(body: bytes) -> Pictures:
    grey = _grey(body)
    try:
        digits = [each.digit for each in split_picture(grey)]
    except InputError:  # one that is small on its picture is found by looking more closely, or is not there
        digits = []
    if len(digits) > LONGEST:
        raise InputError(f"picture: expected at most {LONGEST:,} digits, found {len(digits):,}")
    return Pictures(images=[base64_of(each) for each in (digits if len(digits) > 1 else [digit(grey)])])


def _grey(body: bytes) -> Float32[np.ndarray, "_ _"]:
    if not body:
        raise InputError("picture: expected a PNG or JPEG, got an empty body")
    return decode(io.BytesIO(body), "picture", LARGEST_PICTURE)


def _shown(value: str) -> str:
    """A text of the caller's in a message: short, and in characters that every encoding has."""
    return ascii(value if len(value) <= 40 else value[:40] + "...")


def _problem(status: int, message: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": message}, status, headers)


async def _refused(request: Request, error: Any) -> JSONResponse:
    return _problem(error.status_code, str(error.detail), error.headers)


async def _unexpected(request: Request, error: Any) -> JSONResponse:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:] if part not in ("base64", "rows"))
    if first["type"].startswith("string_") and "base64" in first["loc"]:
        first["msg"] = f"expected base64 of 28x28 bytes, 1048 characters; got {len(first['input'])} characters"
    return _problem(422, f"{_shown(field)[1:-1] or 'body'}: {first['msg']}")


async def _unanswered(request: Request, error: Any) -> JSONResponse:
    return _problem(422, str(error))


async def _broken(request: Request, error: Any) -> JSONResponse:
    """A fault of ours. Its traceback goes to the terminal, not to the caller."""
    return _problem(500, "something broke here; the terminal of `digitset demo` says what")
