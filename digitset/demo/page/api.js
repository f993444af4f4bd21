// The service, as functions. Each throws an Error with the service's own words; its `again` says whether to ask again.

import { base64, bytes } from "./base64.js";
import { doubt } from "./words.js";

const BUSY = [503];

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    const words = "The service does not answer. Is `digitset demo` still running? It is asked again until it does.";
    throw Object.assign(new Error(words), { again: true });
  }
  const text = await response.text();
  let values;
  try {
    values = JSON.parse(text);
  } catch {
    values = { error: text || `The service answered with ${response.status}.` };
    if (response.ok) throw new Error("The service answered with something else than JSON.");
  }
  if (!response.ok) throw Object.assign(new Error(values.error), { again: BUSY.includes(response.status) });
  return values;
}

export const listModels = () => call("/v1/models");

export async function dealDigits(count, digit) {
  const query = new URLSearchParams({ count });
  if (digit !== undefined) query.set("digit", digit);
  const { digits } = await call(`/v1/digits?${query}`);
  return digits.map(({ image, label }) => ({ pixels: bytes(image), label }));
}

// The picture as a model gets it, and what to know of it: a sentence, or null.
export async function normalise(picture) {
  return opened(await call("/v1/normalise", sent(picture)));
}

// The digits of a picture, from left to right and row by row, each with what to know of it; what was left out; and what
// there is to know of how they were found: a text, or null.
export async function split(picture) {
  const { pictures, notes } = await call("/v1/split", sent(picture));
  return { found: pictures.map(opened), notes, how: null };
}

const doubted = ({ one_digit, like }) => (one_digit < 0.5 ? doubt(one_digit, like) : null);

const opened = (picture) => ({ pixels: bytes(picture.image), doubt: doubted(picture) });

// What to know of each of some tiles that were drawn, as of opened pictures: a sentence, or null.
export async function doubts(tiles) {
  const options = { method: "POST", headers: { "content-type": "application/json" } };
  const body = JSON.stringify({ images: tiles.map((tile) => base64(tile.pixels)) });
  return (await call("/v1/looks", { ...options, body })).map(doubted);
}

function sent(picture) {
  return { method: "POST", headers: { "content-type": picture.type || "application/octet-stream" }, body: picture };
}

// Tiles of a sequence and one as the anchor, or null. Where the digits of all are known, the answer says what is right.
export function predict(model, tiles, anchor, explain) {
  const question = { model, images: tiles.map((tile) => base64(tile.pixels)), explain };
  if (anchor) question.anchor = base64(anchor.pixels);
  if (tiles.every(known) && (!anchor || known(anchor))) {
    question.labels = tiles.map((tile) => tile.label);
    if (anchor) question.anchor_label = anchor.label;
  }
  const headers = { "content-type": "application/json" };
  return call("/v1/predict", { method: "POST", headers, body: JSON.stringify(question) });
}

const known = (tile) => tile.label !== null;
