// A question -> the inputs of a model's file; its outputs -> an answer, with the fields of the service's answers.

const PIXELS = 784;

const one = (place) => [place];
const others = (all, place) => all.filter((each) => each !== place);

// The images of each question: all; then, to explain the answer, each alone, and all but each if there are several.
export function questionsOf(count, explain) {
  const all = Array.from({ length: count }, (_, place) => place);
  if (!explain) return [all];
  return [all, ...all.map(one), ...(count > 1 ? all.map((place) => others(all, place)) : [])];
}

// {name: {type, data, dims}}; digitset/inference/onnx_explained.py says what they are.
export function inputsOf(model, tiles, anchor, explain) {
  const count = tiles.length;
  const questions = questionsOf(count, explain);
  const images = new Uint8Array(count * PIXELS);
  tiles.forEach((tile, place) => images.set(tile.pixels, place * PIXELS));
  const index = questions.flatMap((row) => [...row, ...new Array(count - row.length).fill(0)]);
  const inputs = {
    images: { type: "uint8", data: images, dims: [count, 28, 28] },
    index: whole(index, [questions.length, count]),
    lengths: whole(questions.map((row) => row.length), [questions.length]),
    labels: whole(tiles.map((tile) => tile.label ?? 0), [count]),
  };
  if (model.places) {
    const squares = explain ? model.side ** 2 : 0; // erased, one after another; 0 is the whole image
    inputs.erase = whole(Array.from({ length: squares + 1 }, (_, square) => square), [squares + 1]);
  }
  if (anchor) {
    inputs.anchor = { type: "uint8", data: Uint8Array.from(anchor.pixels), dims: [1, 28, 28] };
    inputs.anchor_label = whole([anchor.label ?? 0], [1]);
  }
  return inputs;
}

const whole = (values, dims) => ({ type: "int64", data: BigInt64Array.from(values, BigInt), dims });

export function answerOf(model, outputs, tiles, anchor, explain) {
  const count = tiles.length;
  const [answer, ...more] = outputs.answers.data;
  const known = [...tiles, ...(anchor ? [anchor] : [])].every((tile) => tile.label !== null);
  const distribution = outputs.distribution ? nested(outputs.distribution)[0] : null;
  const given = (name) => (explain && outputs[name] ? nested(outputs[name]) : null);
  return {
    model: model.name,
    answer,
    certainty: distribution && Math.max(...distribution),
    distribution,
    interval: outputs.interval ? nested(outputs.interval) : null,
    truth: known ? Number(outputs.truth.data[0]) : null,
    single_answers: explain ? more.slice(0, count) : null,
    contributions: explain && count > 1 ? more.slice(count).map((without) => answer - without) : null,
    attention: given("attention"),
    pairwise: given("pairwise"),
    rollout: null,
    digit_probabilities: given("digit_probabilities"),
    places: model.places && explain ? placesOf(model.side, outputs) : null,
  };
}

function placesOf(side, { heads, rollout, erased }) {
  const grids = nested(erased).map(([, ...squares]) => nested({ data: squares, dims: [side, side] }));
  return { heads: nested(heads), rollout: nested(rollout), erased: grids };
}

// Values in a row -> lists of lists, as deep as there are dimensions.
function nested({ data, dims }) {
  let values = Array.from(data, Number);
  for (const wide of dims.slice(1).reverse()) {
    values = Array.from({ length: values.length / wide }, (_, row) => values.slice(row * wide, (row + 1) * wide));
  }
  return values;
}
