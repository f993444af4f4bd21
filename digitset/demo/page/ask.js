// Asks all models of the task about the digits as they are; while it waits, later changes are one more question.

import { base64, predict } from "./api.js";
import { anchored, filled, find, get, model, modelsOfTask, set } from "./state.js";

export const MOST_EXPLAINED = 100;
let asking = false;
let again = false;

export async function ask() {
  again = true;
  if (asking) return;
  asking = true;
  try {
    while (again) {
      again = false;
      const answers = await askOnce();
      set({ answers });
    }
  } finally {
    asking = false;
  }
}

// {keys, chosen, task, model, said: {model: answer}, problem}; `keys` are those of the tiles that were asked about.
async function askOnce() {
  const { task, anchor, chosen } = get();
  const tiles = filled();
  const found = { task, model: model().model, keys: tiles.map((one) => one.key), said: {}, problem: null, seconds: 0 };
  found.known = tiles.every((one) => one.label !== null) && (!anchored() || anchor?.label != null);
  if (!tiles.length || (anchored() && !anchor?.pixels)) return found;
  try {
    const start = performance.now();
    await Promise.all(modelsOfTask().map((one) => askModel(one, tiles, anchor, chosen, found)));
    found.milliseconds = performance.now() - start;
  } catch (error) {
    found.problem = error.message;
  }
  return found;
}

async function askModel(one, tiles, anchor, chosen, found) {
  if (one.longest === 1) {
    found.said[one.model] = await askEach(one, tiles, chosen);
    found.keyOfOne = found.said[one.model].key;
  } else if (one.longest !== null && tiles.length > one.longest) {
    found.said[one.model] = { refused: one.longest };
  } else {
    const explain = one.model === found.model && tiles.length <= MOST_EXPLAINED;
    const images = tiles.map((tile) => tile.pixels);
    found.said[one.model] = await predict(one.name, images, one.anchored ? anchor.pixels : null, explain);
  }
}

const known = new Map();

// A task about one image is asked for each; the answer shown is that for the chosen tile, or the last.
async function askEach(one, tiles, chosen) {
  const answers = await Promise.all(tiles.map((tile) => askAlone(one, tile)));
  const asked = find(chosen);
  const shown = asked?.pixels && tiles.includes(asked) ? asked : tiles.at(-1);
  const readings = answers.map((answer) => answer.answer);
  return { ...answers[tiles.indexOf(shown)], readings, contributions: null, key: shown.key };
}

async function askAlone(one, tile) {
  const name = `${one.name} ${base64(tile.pixels)}`;
  if (!known.has(name)) {
    if (known.size > 1000) known.clear();
    known.set(name, await predict(one.name, [tile.pixels], null, false));
  }
  return known.get(name);
}
