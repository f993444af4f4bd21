// What the page shows: tiles, anchor, task, model, answers. Values are replaced, never changed in place.

const KEPT = 50; // steps that can be undone
export const MOST = 60; // tiles
const MANY = 12; // tiles; more of them are small
export const PEN = 2.7; // width of MNIST's strokes in its pixels, about

let now = {
  models: [], // as /v1/models gives them
  task: "",
  choice: {}, // the name of the model chosen for each task
  tiles: [], // the last one is blank, to draw in
  anchor: null, // a tile
  chosen: null, // the key of the tile that is looked at
  head: null, // of attention; null is their mean
  map: null, // the one of MAPS that lies over all digits
  pointed: null, // the key of the tile under the mouse
  open: null, // the key of the tile that was opened for drawing; see `isOpen`
  drawn: null, // the key of the tile under the pen
  still: false, // while a digit is being drawn, tiles keep their sizes and places
  pen: PEN, // width of the next stroke
  answers: null, // what `ask` found
  problem: null, // what went wrong: an Error
  note: null, // what there is to know of an opened picture: {text, action, act}
};
const listeners = [];
let past = [];
let future = [];
let keys = 0;

export const get = () => now;

export function listen(listener) {
  listeners.push(listener);
}

export function set(changes) {
  const before = now;
  now = { ...now, ...changes };
  for (const listener of listeners) listener(now, before);
}

// A tile: `pixels` is what a model gets, 784 bytes, or null while it is blank; `strokes` what was drawn, in a unit
// square, each {pen, points}; `label` the digit that it is known to be.
export function tile(content = {}) {
  return { key: `tile-${(keys += 1)}`, pixels: null, strokes: [], label: null, ...content };
}

export const filled = () => now.tiles.filter((one) => one.pixels);

export const many = () => filled().length > MANY;

export const model = () => now.models.find((one) => one.name === now.choice[now.task]);

export const modelsOfTask = () => now.models.filter((one) => one.task === now.task);

export const anchored = () => Boolean(model()?.anchored);

export function find(key) {
  return now.anchor?.key === key ? now.anchor : now.tiles.find((one) => one.key === key);
}

// A finger that scrolls must not draw: it draws in a blank tile, and in the chosen one once that was opened.
export const isOpen = (one) => !one.pixels || (now.open === one.key && now.chosen === one.key);

export const choose = (key) => set({ chosen: key, open: now.open === key ? key : null });

const digits = () => ({ tiles: now.tiles, anchor: now.anchor });

// Remembers the digits as they are, so that what comes next can be undone.
export function remember() {
  past = [...past, digits()].slice(-KEPT);
  future = [];
}

export function undo() {
  if (!past.length) return;
  future = [...future, digits()];
  set(past.pop());
}

export function redo() {
  if (!future.length) return;
  past = [...past, digits()];
  set(future.pop());
}

export const canUndo = () => past.length > 0;

export const canRedo = () => future.length > 0;

// The tiles, with one blank tile at the end and no other. None comes while the last one is still under the pen.
function withBlank(tiles) {
  if (tiles.some((one) => one.key === now.drawn)) return tiles;
  const kept = tiles.filter((one, place) => one.pixels || place === tiles.length - 1);
  return kept.at(-1)?.pixels || kept.length === 0 ? [...kept, tile()] : kept;
}

export function setTiles(tiles, more = {}) {
  set({ tiles: withBlank(tiles), ...more });
}

export function replace(key, content) {
  if (now.anchor?.key === key) set({ anchor: { ...now.anchor, ...content } });
  else setTiles(now.tiles.map((one) => (one.key === key ? { ...one, ...content } : one)));
}

export function add(contents) {
  remember();
  const added = contents.map(tile);
  setTiles([...filled(), ...added, ...now.tiles.filter((one) => !one.pixels)]);
  return added.map((one) => one.key);
}

export function deal(contents) {
  remember();
  const tiles = contents.map(tile);
  setTiles(tiles, { chosen: tiles[0].key });
}

export function clear(key) {
  remember();
  if (now.anchor?.key === key) return replace(key, { pixels: null, strokes: [], label: null });
  const blank = { pixels: null, strokes: [], label: null };
  const rest = now.tiles.filter((one) => one.key !== key && one.pixels);
  setTiles([...rest, { ...find(key), ...blank }]); // it becomes the tile to draw in
}

export function remove(key) {
  const place = now.tiles.findIndex((one) => one.key === key);
  if (place < 0 || !now.tiles[place].pixels) return;
  remember();
  const tiles = now.tiles.filter((one) => one.key !== key);
  setTiles(tiles, { chosen: tiles[Math.min(place, tiles.length - 1)].key });
}

export function move(key, to) {
  const from = now.tiles.findIndex((one) => one.key === key);
  const last = filled().length - 1;
  const place = Math.max(0, Math.min(last, to));
  if (from < 0 || !now.tiles[from].pixels || from === place) return;
  remember();
  const tiles = now.tiles.filter((one) => one.key !== key);
  tiles.splice(place, 0, now.tiles[from]);
  setTiles(tiles);
}

export function makeAnchor(key) {
  const one = find(key);
  if (!one?.pixels) return;
  remember();
  const { pixels, strokes, label } = one;
  set({ anchor: { ...now.anchor, pixels, strokes, label } });
}
