// All that the page says, apart from its labels.

const NAMES = {
  sum: "Sum",
  contains: "Contains",
  classify: "Which digit",
  exact: "Exact",
  transformer: "Transformer",
  mlp: "Fully connected",
};

const ABOUT = {
  "sum/exact":
    "Each image is read alone as ten probabilities, and chance adds them up. It learned from sums of one to ten digits, " +
    "and works for any number of them.",
  "sum/transformer":
    "The images attend to each other, then each adds its own number. It learned from sums of one to ten digits. Point at " +
    "a tile to see where it looks.",
  "sum/mlp":
    "The images stand side by side in a row of ten places. Every digit had to be learned anew for each place, and there " +
    "is no eleventh.",
  "contains/exact":
    "Each image is read alone as ten probabilities, and chance says whether one is the anchor’s digit. It learned from " +
    "yes and no, so its digits have no names.",
  "contains/transformer":
    "The anchor attends to the images: the thicker a line, the more it looks there. It learned what is alike from yes " +
    "and no alone.",
  "contains/mlp":
    "Anchor and images stand side by side in a row of ten places. Comparing had to be learned anew for each place, and " +
    "there is no eleventh.",
  "classify/mlp":
    "A convolutional encoder reads one image, and a fully connected head gives each digit a probability. Choose a tile " +
    "to see its own.",
};

export const title = (name) => NAMES[name] ?? name.replaceAll("_", " ").replace(/^./, (first) => first.toUpperCase());

export const about = (model) =>
  ABOUT[`${model.task}/${model.model}`] ?? `${title(model.model)} on ${model.encoder}, ${count(model.parameters)} numbers.`;

export const count = (number) => number.toLocaleString("en");

export const percent = (chance) => {
  if (chance > 0.9995 && chance < 1) return "over 99.9 %";
  if (chance < 0.0005 && chance > 0) return "under 0.1 %";
  return `${(100 * chance).toFixed(chance > 0.99 || chance < 0.01 ? 1 : 0)} %`;
};

export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(Math.abs(value) < 9.95 ? 1 : 0)}`;

const plain = (value) => value.toFixed(2).replace(/^-/, "−").replace("−0.00", "0.00");

// The answer in a word: what stands large.
export function headline(model, answer) {
  if (model.kind === "yes or no") return answer.answer > 0.5 ? "Yes" : "No";
  return String(Math.round(answer.answer)).replace("-", "−");
}

// What stands beside a model's name.
export function brief(model, answer) {
  if (!answer) return "–";
  if (answer.refused) return `takes ${answer.refused} at most`;
  if (model.kind === "yes or no") return `${headline(model, answer)}, ${percent(Math.max(answer.answer, 1 - answer.answer))}`;
  if (model.kind === "quantity" && !answer.distribution) return plain(answer.answer);
  return headline(model, answer);
}

// How sure the answer is, in a line or two.
export function detail(model, answer) {
  if (answer.interval) {
    const [low, high] = answer.interval;
    return `${percent(answer.certainty)} certain; 90 % interval ${low === high ? `${low} alone` : `${low} to ${high}`}`;
  }
  if (model.kind === "yes or no") return `${percent(answer.certainty)} certain`;
  if (answer.certainty !== null) return `${percent(answer.certainty)} certain`;
  return `${plain(answer.answer)} before rounding; this model gives one number and does not say how sure it is`;
}

export const refusal = (model, found) =>
  `The fully connected model has ${model.longest} places, one an image, and cannot take ${found}. ` +
  `${found - model.longest === 1 ? "Remove one" : `Remove ${found - model.longest}`}, or ask one of the others.`;

export function invitation(model, tiles, anchor) {
  if (model.anchored && !anchor) return "Draw an anchor, the digit to look for.";
  if (!tiles) return "Draw a digit, or deal some.";
  return "";
}

// What a tile's caption says: the model's reading of it alone.
export function reading(model, value) {
  if (model.kind === "yes or no") return value > 0.5 ? "same" : "other";
  return String(Math.round(value)).replace("-", "−");
}

export function contribution(model, value) {
  if (model.kind !== "yes or no") return value < 0 ? `takes ${signed(value).slice(1)}` : `adds ${signed(value).slice(1)}`;
  return Math.abs(value) < 0.005 ? "no effect" : `${signed(Math.round(100 * value)).replace(/\.0$/, "")} %`;
}
