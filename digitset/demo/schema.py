"""What the service takes and gives, as JSON. Unknown keys are refused, and nothing is converted silently."""

import base64
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from digitset.pictures.one_digit import KINDS
from digitset.tasks import Kind

LONGEST = 1_000  # images in one question
EXPLAINED = 100  # images in one explained question: leaving each out takes a time that grows with the square


class Strict(BaseModel):
    """Numbers are numbers and texts are texts."""

    model_config = ConfigDict(extra="forbid", strict=True)


Base64 = Annotated[
    str,
    Field(
        min_length=1048,
        max_length=1048,
        pattern=r"^[A-Za-z0-9+/]+==$",
        description="28x28 bytes, row by row, in base64",
    ),
]
Row = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=28, max_length=28, fail_fast=True)]
Rows = Annotated[list[Row], Field(min_length=28, max_length=28, fail_fast=True, description="28 rows of 28 numbers")]


def _form(value: Any) -> str:
    return "base64" if isinstance(value, str) else "rows"


Label = Annotated[int, Field(ge=0, le=9)]
Image = Annotated[
    Annotated[Base64, Tag("base64")] | Annotated[Rows, Tag("rows")],
    Discriminator(_form),
    Field(description="28x28 grey values, ink 255 on 0, as MNIST has it: base64 of the bytes, or rows of numbers"),
]


class Question(Strict):
    """Images of one sequence, and a model to ask about them."""

    model: str = Field(description="a name from /v1/models", examples=["sum/exact"])
    images: Annotated[list[Image], Field(min_length=1, max_length=LONGEST, fail_fast=True)]
    anchor: Image | None = Field(None, description="for a task with an anchor, and for no other")
    labels: Annotated[list[Label], Field(min_length=1, max_length=LONGEST, fail_fast=True)] | None = Field(
        None, description="the digit of each image, where they are known: the answer then has the field truth"
    )
    anchor_label: Label | None = Field(None, description="the digit of the anchor; goes with labels")
    explain: bool = Field(
        False,
        description=f"add the fields below from single_answers on; for up to {EXPLAINED} images",
    )

    @model_validator(mode="before")
    @classmethod
    def _few_keys(cls, values: Any) -> Any:
        """Each unknown key would be an error of its own, and a body has room for half a million."""
        if isinstance(values, dict) and len(values) > 100:
            raise PydanticCustomError("keys", "expected up to 6 keys, got {count}", {"count": len(values)})
        return values


class Questions(Strict):
    """Several sequences, each with a model to ask about it."""

    questions: Annotated[list[Question], Field(min_length=1, max_length=100, fail_fast=True)]


class Places(Strict):
    """Where on each image the encoder looks, on a grid of rows and columns."""

    heads: list[list[list[list[float]]]] = Field(
        description="what each pooling head takes from each place [images, heads, rows, columns]"
    )
    rollout: list[list[list[float]]] = Field(description="the same through all layers [images, rows, columns]")
    erased: list[list[list[float]]] = Field(
        description="how much worse the answer to the image alone becomes without the place [images, rows, columns]"
    )


class Answer(Strict):
    """What a model says. A field is null where the model, encoder or task has no such thing, or nobody asked for it."""

    model: str
    answer: float = Field(description="the class, the count, the quantity (not rounded), the probability of yes")
    certainty: float | None = Field(description="the probability that the model gives to what it answers")
    distribution: list[float] | None = Field(description="of the answers 0, 1, 2 ...")
    interval: Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        description="the lowest and the highest of 90 %: at most 5 % lie below, and as much above"
    )
    truth: int | None = Field(
        description="the right answer, by the task's rule and the labels of the question; yes is 1, no is 0"
    )
    single_answers: list[float] | None = Field(description="the answer to each image alone")
    contributions: list[float] | None = Field(
        description="the answer to all images, less that to all but this one; null for an image that is alone"
    )
    attention: list[list[float]] | None = Field(description="what each head gives to each image [heads, images]")
    pairwise: list[list[list[float]]] | None = Field(
        description="self-attention of the last layer, from image to image [heads, images, images]"
    )
    rollout: list[float] | None = Field(description="the share of each image in what is read, through all layers")
    digit_probabilities: list[list[float]] | None = Field(
        description="the probabilities of each image's digit [images, 10]"
    )
    places: Places | None = Field(description="where on each image the encoder looks, and what its answer rests on")
    seconds: float = Field(ge=0, description="how long the model took")


class Model(Strict):
    """What there is to ask."""

    name: str = Field(description="task/model")
    task: str
    question: str
    model: str
    about: str = Field(description="how it comes to its answer, in words")
    encoder: str
    parameters: int
    anchored: bool = Field(description="whether it takes an anchor")
    single_image: bool = Field(description="whether it is asked about one image at a time")
    longest: int | None = Field(description="the longest sequence it takes; null is any")
    kind: Kind = Field(description="what its answer is: no or yes, one of some classes, a count, a quantity")
    distribution: bool = Field(description="whether an answer has the field of this name, and so below")
    attention: bool
    places: bool
    digit_probabilities: bool
    single_truths: list[list[int]] = Field(
        description="the right answer to one image alone, by its digit [1, 10]; with an anchor, by the digits of both: "
        "[10, 10], a row for each of the anchor's"
    )
    default: bool = Field(description="true for the one with which the page begins")


class Digit(Strict):
    """A test image of MNIST."""

    image: Base64
    label: Label
    index: int = Field(ge=0, description="its position among the test images")


class Dealt(Strict):
    """Test images, and the seed that gives them again."""

    digits: list[Digit]
    seed: int = Field(ge=0)


class Images(Strict):
    """Images, each of which is asked about alone."""

    images: Annotated[list[Image], Field(min_length=1, max_length=LONGEST, fail_fast=True)]


class Look(Strict):
    """What an image looks like."""

    one_digit: float = Field(ge=0, le=1, description="the probability that the picture shows one digit")
    like: str = Field(description=f"what it looks like: {', '.join(KINDS)}")


class Picture(Look):
    """A picture as the models get it, and what it looks like."""

    image: Base64


class Pictures(Strict):
    """The digits of a picture as the models get them, from left to right and row by row."""

    pictures: Annotated[list[Picture], Field(min_length=1, max_length=LONGEST)]
    notes: list[str] = Field(description="what was found besides and is left out, or is more probably no digit")


class Health(Strict):
    """That the service is there, and how busy it is."""

    status: Literal["ok"]
    waiting: int = Field(ge=0, description="questions that wait for their turn")


class Problem(Strict):
    """Why there is no answer: what was expected, what came, what to do."""

    error: str


def pixels(image: str | list[list[int]]) -> UInt8[np.ndarray, "28 28"]:
    """The grey values of a valid `Image`."""
    if isinstance(image, str):
        return np.frombuffer(base64.b64decode(image), np.uint8).reshape(28, 28)
    return np.array(image, np.uint8)


def base64_of(image: UInt8[np.ndarray, "28 28"]) -> str:
    """An image as base64."""
    return base64.b64encode(np.ascontiguousarray(image).tobytes()).decode()
