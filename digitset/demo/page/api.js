// The service, as functions. Each throws an Error with the service's own words.

import { doubt } from "./words.js";

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The service does not answer. Is `digitset demo` still running?");
  }
  const text = await response.text();
  let values;
  try {
    values = JSON.parse(text);
  } catch {
    throw new Error(text || `The service answered with ${response.status}.`);
  }
  if (!response.ok) throw new Error(values.error);
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
  const headers = { "content-type": picture.type || "application/octet-stream" };
  const { image, one_digit, like } = await call("/v1/normalise", { method: "POST", headers, body: picture });
  return { pixels: bytes(image), doubt: one_digit < 0.5 ? doubt(one_digit, like) : null };
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

const written = new WeakMap();

export function base64(pixels) {
  if (!written.has(pixels)) written.set(pixels, btoa(String.fromCharCode(...pixels)));
  return written.get(pixels);
}

function bytes(image) {
  return Uint8Array.from(atob(image), (character) => character.charCodeAt(0));
}
