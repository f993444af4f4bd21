"""A trained run -> an ONNX graph that answers and explains, for a program that has nothing but ONNX Runtime: a page.

A file of `digitset export` answers for sequences. To explain one answer takes many of them, of the same images; here
each image is encoded once, and everything of `Explanation` that is more than counting is computed in the graph, by the
same functions as there.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from digitset.data.mnist import load_data
from digitset.encoders import LooksAtPlaces
from digitset.errors import InputError
from digitset.evaluation.calibration import LEVEL, central_interval
from digitset.inference.explain import Explanation, explain, questions
from digitset.inference.onnx_export import TOLERANCE
from digitset.inference.onnx_ops import expect_onnx, plain, translated
from digitset.inference.onnx_runtime import session
from digitset.inference.places import kept, rolled_out
from digitset.inference.predictor import Predictor
from digitset.models import Attends, ReadsDigits, SelfAttends
from digitset.network import Network
from digitset.tasks import Task

COMPARED = (1, 2, 7, 30)  # lengths at which a graph is compared with `explain`, as far as the model takes them
IMAGES = 30  # of which the sequences of each length are


def export_explained(predictor: Predictor) -> bytes:
    """An ONNX file that answers several questions about n images at once, the first of which is about all of them.

    Inputs: `images`, uint8 [n, 28, 28]; `index`, int64 [B, n], which of them each question is about, anything behind
    its end; `lengths`, int64 [B], at how many an index ends; `labels`, int64 [n], the digits, zeros where nobody knows;
    for a task with an anchor `anchor`, uint8 [1, 28, 28], and `anchor_label`, int64 [1].

    Outputs: `answers`, float32 [B], and `truth`, int64 [1], of the labels. Of the first question, where the model has
    them: `distribution` [1, A], `interval`, int64 [2], `attention` [H, n], `pairwise` [H, n, n] and
    `digit_probabilities` [n, 10], as in `Explanation`.

    Where the encoder has maps, one input more: `erase`, int64 [P], which squares of their grid to erase, row by row
    from 1 on; the first is 0, which erases nothing. And outputs `heads` [n, K, G, G], `rollout` [n, G, G] and `erased`
    [n, P], as in `Places`.

    Weights that lose nothing by it stand in half precision. Raises InputError where ONNX is not installed, the model
    has a part that ONNX cannot express, or the file's answers differ from those of `explain` by more than 1e-4.
    """
    expect_onnx()
    network = predictor.experiment.build()  # another, on the CPU wherever the predictor's is
    network.load_state_dict(predictor.network.state_dict())
    graph = _Explained(plain(network), predictor.task, grid(predictor.network)).eval()
    program = translated(graph, *_examples(predictor), graph.names, predictor.run, half=True)
    content = program.model_proto.SerializeToString()
    _expect_equal(content, predictor)
    return content


class _Explained(nn.Module):
    """What is exported."""

    def __init__(self, network: Network, task: Task, side: int) -> None:
        super().__init__()
        self.network, self.task, self.side = network, task, side
        model = network.model
        self.kept: Tensor
        self.register_buffer("kept", kept(side) if side else None)
        distribution = model.output_kind == "distribution" or task.kind != "quantity"
        has = {
            "answers": True,
            "truth": True,
            "distribution": distribution,
            "interval": distribution and task.kind == "quantity",
            "attention": isinstance(model, Attends),
            "pairwise": isinstance(model, SelfAttends) and not task.anchored,
            "digit_probabilities": isinstance(model, ReadsDigits) and not task.label_invariant,
            **dict.fromkeys(("heads", "rollout", "erased"), side > 0),
        }
        self.names = [name for name, there in has.items() if there]

    def forward(
        self,
        images: UInt8[Tensor, "n 28 28"],
        index: Int64[Tensor, "B n"],
        lengths: Int64[Tensor, " B"],
        labels: Int64[Tensor, " n"],
        anchor: UInt8[Tensor, "1 28 28"] | None = None,
        anchor_label: Int64[Tensor, " 1"] | None = None,
        erase: Int64[Tensor, " P"] | None = None,
    ) -> tuple[Tensor, ...]:
        model = self.network.model
        pictures = images if erase is None else (images[:, None] * self.kept[erase]).flatten(0, 1)
        erased = self.network.embed(pictures)  # [n * P, D], of each image the whole one first
        vectors = erased if erase is None else erased.view(images.shape[0], erase.shape[0], -1)[:, 0]
        tokens, mask = vectors[index], torch.arange(index.shape[1]) < lengths[:, None]
        asked = None if anchor is None else self.network.embed(anchor)
        output = model(tokens, mask, None if asked is None else asked.expand(index.shape[0], -1))
        whole, everywhere = vectors[None], torch.ones_like(labels, dtype=torch.bool)[None]
        values = {
            "answers": self.task.answer(self.task.decode(output, model.output_kind)).float(),
            "truth": self.task.target(labels[None], everywhere, anchor_label),
        }
        distribution = self.task.probabilities(output[:1], model.output_kind)
        if distribution is not None:
            values["distribution"] = distribution
            if "interval" in self.names:
                values["interval"] = torch.cat(central_interval(distribution, LEVEL))
        if isinstance(model, Attends):
            values["attention"] = model.attention(whole, everywhere, asked)[0]
        if isinstance(model, SelfAttends) and "pairwise" in self.names:
            values["pairwise"] = model.self_attention(whole, everywhere)[-1][0]
        if isinstance(model, ReadsDigits) and "digit_probabilities" in self.names:
            values["digit_probabilities"] = model.digit_log_prob(vectors).exp()
        if erase is not None:
            values |= self._places(images, erased, asked)
        return tuple(values[name] for name in self.names)

    def _places(self, images: Tensor, erased: Tensor, asked: Tensor | None) -> dict[str, Tensor]:
        """As `digitset.inference.places.look` has them; `erased` are vectors, of each image the whole one first."""
        encoder, model, task, side = self.network.encoder, self.network.model, self.task, self.side
        assert isinstance(encoder, LooksAtPlaces)
        layers, heads = encoder.attention(self.network.pixels(images))
        anchors = None if asked is None else asked.expand(erased.shape[0], -1)
        output, kind = (
            model(erased[:, None], torch.ones_like(erased[:, :1], dtype=torch.bool), anchors),
            model.output_kind,
        )
        if task.kind != "quantity":  # the same loss, but ONNX rounds cross-entropies of logits to less than is shown
            output, kind = task.decode(output, kind), "distribution"
        count = erased.shape[0] // images.shape[0]
        whole = output.view(images.shape[0], count, -1)[:, :1].expand(-1, count, -1).flatten(0, 1)
        answers = task.answer(task.decode(whole, kind)).round().long()
        losses = task.training_loss(output, kind, answers).view(images.shape[0], count)
        return {
            "heads": heads.unflatten(-1, (side, side)),
            "rollout": rolled_out(layers, heads.mean(dim=1, keepdim=True))[:, 0].unflatten(-1, (side, side)),
            "erased": losses - losses[:, :1],
        }


def grid(network: Network) -> int:
    """How many squares a side of the encoder's maps has; 0 where it has none."""
    if not (network.model.uses_images and isinstance(network.encoder, LooksAtPlaces)):
        return 0
    with torch.no_grad():
        pooling = network.encoder.attention(torch.zeros(1, 1, 28, 28, device=network.device))[1]
    return round(pooling.shape[-1] ** 0.5)


def _examples(predictor: Predictor) -> tuple[dict[str, Tensor], Mapping[str, Mapping[int, object]]]:
    """Inputs to trace a graph with, and their free dimensions. Those of a model of one image are 1 and not free."""
    most = 1 if predictor.task.single_image else predictor.network.longest
    n, free = min(4, most or 4), torch.export.Dim.DYNAMIC
    pool = {0: free} if n > 1 else {}
    index = {0: free, 1: free} if n > 1 else {0: free}
    inputs = {
        "images": torch.zeros(n, 28, 28, dtype=torch.uint8),
        "index": torch.zeros(3, n, dtype=torch.int64),
        "lengths": torch.full((3,), n),
        "labels": torch.zeros(n, dtype=torch.int64),
    }
    shapes = {"images": pool, "index": index, "lengths": {0: free}, "labels": pool}
    if predictor.task.anchored:
        inputs["anchor"] = torch.zeros(1, 28, 28, dtype=torch.uint8)
        inputs["anchor_label"] = torch.zeros(1, dtype=torch.int64)
        shapes |= {"anchor": {}, "anchor_label": {}}
    if grid(predictor.network):
        inputs["erase"] = torch.arange(3)
        shapes |= {"erase": {0: free}}
    return inputs, shapes


def _expect_equal(content: bytes, predictor: Predictor) -> None:
    """Raises InputError if what a file says of some test images differs from what `explain` says."""
    runtime = session(content, 1, "the exported model")
    test, task = load_data().test, predictor.task
    names = [output.name for output in runtime.get_outputs()]
    most, side = 1 if task.single_image else predictor.network.longest, grid(predictor.network)
    for n in (n for n in COMPARED if most is None or n <= most):
        index, lengths = questions(n)
        for start in range(0, IMAGES + 1 - n, n):
            images, labels = test.images[start : start + n], test.labels[start : start + n]
            asked = {"images": images, "index": index, "lengths": lengths, "labels": labels}
            inputs = {name: values.numpy() for name, values in asked.items()}
            anchor = test.images[IMAGES + start] if task.anchored else None
            if anchor is not None:
                inputs |= {"anchor": anchor[None].numpy(), "anchor_label": labels[:1].numpy()}
            if side:
                inputs["erase"] = np.arange(side**2 + 1)
            found = dict(zip(names, runtime.run(None, inputs), strict=True))
            difference = _difference(found, explain(predictor, images, anchor))
            if not difference <= TOLERANCE:
                raise InputError(
                    f"model '{predictor.run.model}' for '{predictor.run.task}': answers of the exported model differ "
                    f"from torch's by {difference:.1g}, expected at most {TOLERANCE:g}"
                )


def _difference(found: dict[str, np.ndarray], expected: Explanation) -> float:
    """The largest; of answers above 1, as a part of the largest. NaN if any is."""
    n = len(expected.single_answers)
    answers = [np.array([expected.answer]), expected.single_answers.numpy()]
    if n > 1:
        answers.append(expected.answer - expected.contributions.numpy())
    if expected.interval is not None and tuple(found["interval"].tolist()) != expected.interval:
        return float("inf")
    differences = [_apart(found["answers"], np.concatenate(answers))]
    for name in ("distribution", "attention", "pairwise", "digit_probabilities"):
        if name in found:
            differences.append(_apart(found[name], getattr(expected, name).numpy()))
    if expected.places is not None:
        maps = expected.places
        erased = np.pad(maps.erased.flatten(1).numpy(), ((0, 0), (1, 0)))
        differences += [_apart(found["heads"], maps.heads.numpy()), _apart(found["erased"], erased)]
        differences.append(_apart(found["rollout"], maps.rollout.numpy()))
    return float(np.max(differences))


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found.reshape(expected.shape) - expected)) / max(1.0, float(np.max(np.abs(expected)))))
