// In the place of the service's api.js: the same functions, and the models answer in this browser. Each throws an Error
// in words for a person; its `again` says whether to ask again.

import { answerOf, inputsOf } from "./answers.js";
import { digitsOf, oneDigitOf } from "./pictures.js";

const here = (path) => new URL(`../${path}`, import.meta.url);
const LOST = "The files of this page do not come. They are asked for again until they do.";
const PLAIN =
  "It was read by a plain rule, made for dark digits that stand apart on even paper. " +
  "The installed program, `digitset demo`, also reads photographs that are not so, and doubts what is no digit.";

// What `get` gives, once; what failed is tried again when it is next asked for.
function once(get) {
  let given = null;
  return () => {
    given ??= get().catch((error) => {
      given = null;
      throw error;
    });
    return given;
  };
}

async function file(path) {
  let response;
  try {
    response = await fetch(here(path));
  } catch {
    throw Object.assign(new Error(LOST), { again: true });
  }
  if (!response.ok) throw new Error(`The host of this page has no ${path}: ${response.status}.`);
  return response;
}

export const listModels = once(async () => (await file("models.json")).json());

// Test images, packed: of each the digit, and its 784 pixels.
const testImages = once(async () => {
  const stream = (await file("digits.bin")).body.pipeThrough(new DecompressionStream("gzip"));
  const values = new Uint8Array(await new Response(stream).arrayBuffer());
  return Array.from({ length: values.length / 785 }, (_, place) => values.subarray(785 * place, 785 * (place + 1)));
});

export async function dealDigits(count, digit) {
  const left = (await testImages()).filter((one) => digit === undefined || one[0] === digit);
  return Array.from({ length: count }, () => {
    const [one] = left.splice(Math.floor(Math.random() * left.length), 1);
    return { pixels: one.slice(1), label: one[0] };
  });
}

export async function normalise(picture) {
  return { pixels: await oneDigitOf(picture), doubt: null };
}

export async function split(picture) {
  const found = await digitsOf(picture);
  return { found: found.map((pixels) => ({ pixels, doubt: null })), notes: [], how: PLAIN };
}

// What tells a digit from something else is not on this page.
export const doubts = async (tiles) => tiles.map(() => null);

const asked = new Map(); // what waits for the worker, by number
let worker = null;
let number = 0;

function start() {
  worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }) => {
    const { resolve, reject } = asked.get(data.number);
    asked.delete(data.number);
    if (data.outputs) resolve(data.outputs);
    else reject(Object.assign(new Error(data.lost ? LOST : data.error), { again: data.lost }));
  });
  worker.addEventListener("error", (event) => {
    event.preventDefault(); // a part of it did not come
    worker = null;
    for (const { reject } of asked.values()) reject(Object.assign(new Error(LOST), { again: true }));
    asked.clear();
  });
}

function run(path, inputs) {
  if (!worker) start();
  return new Promise((resolve, reject) => {
    asked.set((number += 1), { resolve, reject });
    worker.postMessage({ number, file: here(path).href, inputs });
  });
}

// Tiles of a sequence and one as the anchor, or null. Where the digits of all are known, the answer says what is right.
export async function predict(name, tiles, anchor, explain) {
  const begin = performance.now();
  const model = (await listModels()).find((one) => one.name === name);
  const outputs = await run(model.file, inputsOf(model, tiles, anchor, explain));
  keepForLater();
  return { ...answerOf(model, outputs, tiles, anchor, explain), seconds: (performance.now() - begin) / 1000 };
}

// Once there is an answer, the browser keeps all files. Where it keeps none, the page needs its host each time.
const keepForLater = once(async () => navigator.serviceWorker?.register(here("offline.js")).catch(() => null));

start(); // it takes a moment
