// All that the page says, apart from its labels.

// Models and encoders whose file has another name.
const NAMES = {
  cnn: "CNN",
  deepsets: "Deep Sets",
  gru: "GRU",
  lenet: "LeNet",
  mlp: "Fully connected",
  unpadded: "unpadded CNN",
  vit: "ViT",
};

export const capital = (text) => text.replace(/^./, (first) => first.toUpperCase());

export const title = (name) => NAMES[name] ?? capital(name.replaceAll("_", " "));

// A model among those of its task, with its encoder where another one differs in that alone.
export const named = (one, models) => {
  const same = models.filter((each) => each.model === one.model);
  return same.length > 1 ? `${title(one.model)}, ${NAMES[one.encoder] ?? one.encoder}` : title(one.model);
};

export const percent = (chance) => {
  if (chance > 0.9995) return "over 99.9 %"; // 1 too: it is rounded
  if (chance < 0.0005) return "under 0.1 %";
  return `${(100 * chance).toFixed(chance > 0.99 || chance < 0.01 ? 1 : 0)} %`;
};

// How sure a model is of what it says, everywhere in these words.
export const certain = (chance) => `${percent(chance)} certain`;

const plain = (value) => value.toFixed(2).replace(/^-/, "−").replace("−0.00", "0.00");

const whole = (value) => String(Math.round(value)).replace("-", "−");

// The answer in a word: what stands large. The right one is in the same words.
export function headline(model, value) {
  if (model.kind === "binary") return value > 0.5 ? "Yes" : "No";
  return whole(value);
}

// What stands beside a model's name.
export function brief(model, answer) {
  if (!answer) return "–";
  if (answer.refused) return `takes ${answer.refused} at most`;
  if (model.kind === "binary") return headline(model, answer.answer);
  return model.distribution ? headline(model, answer.answer) : plain(answer.answer);
}

// How sure the answer is, in a line or two.
export function detail(model, answer) {
  if (answer.certainty === null)
    return `${plain(answer.answer)} before rounding; this model gives one number and does not say how sure it is`;
  if (!answer.interval) return certain(answer.certainty);
  const [low, high] = answer.interval;
  return `${certain(answer.certainty)}; 90 % interval ${low === high ? `only ${low}` : `${low} to ${high}`}`;
}

export const refusal = (model, count) =>
  `This model has ${model.longest} places, one an image, and cannot take ${count}. ` +
  `${count - model.longest === 1 ? "Remove one" : `Remove ${count - model.longest}`}, or ask another one.`;

export function invitation(model, count, anchor) {
  if (model.anchored && !anchor) return "Draw an anchor, the digit that the question is about.";
  if (!count) return "Draw a digit, or deal some.";
  return "";
}

// What to know of an opened picture that is more probably no digit.
export const doubt = (chance, like) => `looks like ${like}; one digit: ${percent(chance)}`;

// What a tile's caption says: the answer to it alone. Of one image a count says little, and is no digit that was read.
export function reading(model, value) {
  if (model.kind === "binary") return value > 0.5 ? "yes" : "no";
  return model.kind === "count" ? `alone ${whole(value)}` : whole(value);
}

// The same in a sentence.
export function alone(model, value) {
  if (model.single_image) return `read as ${reading(model, value)}`;
  if (model.kind === "binary") return `alone: ${reading(model, value)}`;
  return `alone: ${model.distribution ? whole(value) : plain(value)}`;
}

// How sure the answer to it alone is, where one number says so.
export const sureAlone = (model, value) => (model.kind === "binary" ? certain(Math.max(value, 1 - value)) : null);

// The right answer to a tile alone, where its label and the anchor's are known; null where not.
export function rightAlone(model, label, anchorLabel) {
  const truths = model.single_truths[model.anchored ? anchorLabel : 0];
  return label === null || !truths ? null : reading(model, truths[label]);
}

// Attention of a model that finds nothing, of which a line must not say that it did.
export const inVain = (model, answer) => model.kind === "binary" && Boolean(answer.attention) && answer.answer <= 0.5;

export const VAIN = "Its attention falls somewhere all the same: weights add up to 1, whether or not there is a match.";

// What the answer owes to a tile: it adds to numbers, moves a probability, and may change a class for another.
export function contribution(model, answer, value) {
  if (model.kind === "classes") return value === 0 ? "no effect" : `else ${whole(answer - value)}`;
  if (model.kind === "binary") {
    return Math.abs(value) < 0.005 ? "no effect" : `${value < 0 ? "−" : "+"}${Math.abs(Math.round(100 * value))} %`;
  }
  const size = model.distribution ? whole(Math.abs(value)) : Math.abs(value).toFixed(Math.abs(value) < 9.95 ? 1 : 0);
  return `${value < 0 ? "takes" : "adds"} ${size}`;
}

// The same in a sentence.
export function effect(model, answer, value) {
  const words = contribution(model, answer, value);
  if (words === "no effect") return "It has no effect on the answer";
  if (model.kind === "classes") return `Without it the answer is ${whole(answer - value)}`;
  return model.kind === "binary" ? `Its effect on the answer: ${words}` : `Here it ${words}`;
}
