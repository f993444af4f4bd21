// Asks all models of the task about the digits as they are; while it waits, later changes are one more question.

import { doubts, predict } from "./api.js";
import { base64 } from "./base64.js";
import { anchored, filled, find, get, model, modelsOfTask, set } from "./state.js";

export const MOST_EXPLAINED = 100;
const WAITS = [1, 2, 4, 8]; // seconds, after one failure and more
let asking = false;
let again = false;
let failed = 0;
let waiting = 0;

export async function ask() {
  again = true;
  if (asking) return;
  asking = true;
  clearTimeout(waiting);
  try {
    while (again) {
      again = false;
      const answers = await askOnce();
      const over = get().problem?.again && Object.keys(answers.said).length && !answers.problem;
      set(over ? { answers, problem: null } : { answers });
    }
    askAgain(get().answers.problem);
  } finally {
    asking = false;
  }
}

// What failed for a reason that may pass is asked again, at longer and longer intervals.
function askAgain(problem) {
  if (!problem?.again) {
    failed = 0;
    return;
  }
  waiting = setTimeout(ask, 1000 * WAITS[Math.min(failed, WAITS.length - 1)]);
  failed += 1;
}

// {keys, task, model, said: {model: answer}, doubts: {key: sentence}, problem}, models by name; `keys` are those of the
// tiles that were asked about, and `doubts` are of drawings that are more probably no digit.
async function askOnce() {
  const { task, anchor, chosen } = get();
  const tiles = filled();
  const answers = { task, model: model().name, keys: tiles.map((one) => one.key), said: {}, doubts: {}, problem: null };
  if (!tiles.length || (anchored() && !anchor?.pixels)) return answers;
  const first = model();
  try {
    const doubted = askDoubts(anchored() ? [...tiles, anchor] : tiles).then((found) => (answers.doubts = found));
    await Promise.all([
      doubted,
      ...[first, ...modelsOfTask().filter((one) => one !== first)].map(async (one) => {
        const explain = one === first && tiles.length <= MOST_EXPLAINED;
        answers.said[one.name] = await askModel(one, tiles, anchor, chosen, explain);
        // Where nothing is shown yet, the answer does not wait for those of the other models.
        if (one === first && get().answers?.task !== task) set({ answers: { ...answers, said: { ...answers.said } } });
      }),
    ]);
  } catch (error) {
    answers.problem = error;
  }
  return answers;
}

const looked = new Map();

// What there is to know of the drawings among some tiles, by their keys; each is asked about once.
async function askDoubts(tiles) {
  const drawings = tiles.filter((tile) => tile.strokes.length);
  if (looked.size > 1000) looked.clear();
  const fresh = drawings.filter((tile) => !looked.has(base64(tile.pixels)));
  if (fresh.length) (await doubts(fresh)).forEach((doubt, place) => looked.set(base64(fresh[place].pixels), doubt));
  const found = drawings.map((tile) => [tile.key, looked.get(base64(tile.pixels))]);
  return Object.fromEntries(found.filter(([, doubt]) => doubt));
}

async function askModel(one, tiles, anchor, chosen, explain) {
  if (one.single_image) return askEach(one, tiles, chosen, explain);
  if (one.longest !== null && tiles.length > one.longest) return { refused: one.longest };
  return predict(one.name, tiles, one.anchored ? anchor : null, explain);
}

const alone = new Map();

// A task about one image is asked for each; the answer shown is that for the chosen tile, or the last.
async function askEach(one, tiles, chosen, explain) {
  const answers = await Promise.all(tiles.map((tile) => askAlone(one, tile, explain && one.places)));
  const asked = find(chosen);
  const shown = asked?.pixels && tiles.includes(asked) ? asked : tiles.at(-1);
  const single_answers = answers.map((answer) => answer.answer);
  const first = answers[tiles.indexOf(shown)];
  return { ...first, single_answers, contributions: null, places: first.places && placesOf(answers) };
}

// The places of all images, as one answer to all of them would have them.
const placesOf = (answers) =>
  Object.fromEntries(
    Object.keys(answers[0].places).map((name) => [name, answers.map((answer) => answer.places[name][0])]),
  );

async function askAlone(one, tile, explain) {
  const name = `${one.name} ${explain} ${tile.label} ${base64(tile.pixels)}`;
  if (!alone.has(name)) {
    if (alone.size > 1000) alone.clear();
    alone.set(name, await predict(one.name, [tile], null, explain));
  }
  return alone.get(name);
}
