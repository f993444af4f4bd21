// The digits and the question about them as one JSON value: in the page's address, and in a file.

import { base64, bytes } from "./base64.js";
import { MOST, PEN, get, model, set, tile } from "./state.js";

const FORM = 1; // of the value, which it says of itself
const PIXELS = 784;
const LARGEST = 4 << 20; // bytes of a value, which a short address may pretend to be
const DELAY = 300; // milliseconds without change, before the address is written
let writing = 0;

// The value of what is shown now.
export function saved() {
  const { task, tiles, anchor } = get();
  const contents = tiles.filter((one) => one.pixels).map(contentOf);
  return { digitset: FORM, task, model: model().name, tiles: contents, anchor: contentOf(anchor) };
}

const contentOf = ({ pixels, label, strokes }) => ({ image: pixels && base64(pixels), label, strokes });

// Shows what a value has, after `before`. Throws an Error for one that this page cannot have written.
export function restore(value, before = () => {}) {
  let contents;
  try {
    contents = { tiles: value.tiles.map((one) => checked(one, false)), anchor: checked(value.anchor, true) };
  } catch {
    contents = null;
  }
  if (!contents || value.digitset !== FORM || contents.tiles.length > MOST) {
    throw new Error(`expected digits that this page saved, at most ${MOST}`);
  }
  const tiles = [...contents.tiles.map(tile), tile()];
  const anchor = { ...(get().anchor ?? tile()), ...contents.anchor };
  const one = get().models.find((each) => each.name === value.model);
  const asked = one && { task: one.task, choice: { ...get().choice, [one.task]: one.name } };
  const missing = one ? null : new Error(`These digits were saved for ${value.model}, which is not here.`);
  before();
  set({ ...asked, tiles, anchor, chosen: tiles[0].key, head: null, problem: missing });
}

function checked({ image, label, strokes }, mayBeBlank) {
  const pixels = image === null && mayBeBlank ? null : bytes(String(image));
  const known = label === null || (Number.isInteger(label) && label >= 0 && label <= 9);
  const drawn = Array.isArray(strokes) && strokes.every(isStroke);
  if ((pixels && pixels.length !== PIXELS) || !known || !drawn) throw new Error("no tile");
  return { pixels, label, strokes };
}

const isStroke = ({ pen, points }) =>
  pen > 0 && pen <= 3 * PEN && points.length > 0 && points.every(({ x, y }) => Number.isFinite(x) && Number.isFinite(y));

// Writes the address anew, once nothing has changed for a moment.
export function writeAddress() {
  clearTimeout(writing);
  writing = setTimeout(async () => history.replaceState(null, "", await addressPart(saved())), DELAY);
}

// Shows what the address has. Says whether it has anything. Throws an Error for what cannot be read.
export async function readAddress() {
  if (location.hash.length < 2) return false;
  try {
    restore(JSON.parse(await unpacked(location.hash.slice(1))));
  } catch {
    throw new Error("The digits in the address of this page cannot be read. Is the whole link there?");
  }
  return true;
}

// A link to what is shown now.
export const link = async () => new URL(await addressPart(saved()), location.href).href;

async function addressPart(value) {
  const stream = new Blob([JSON.stringify(value)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const packed = new Uint8Array(await new Response(stream).arrayBuffer());
  const characters = Array.from(packed, (byte) => String.fromCharCode(byte)).join("");
  return `#${btoa(characters).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

async function unpacked(text) {
  const packed = bytes(text.replaceAll("-", "+").replaceAll("_", "/"));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const decoder = new TextDecoder();
  let [value, size] = ["", 0];
  for (const reader = stream.getReader(); ; ) {
    const { done, value: part } = await reader.read();
    if (done) return value;
    size += part.length;
    if (size > LARGEST) throw new Error("too large");
    value += decoder.decode(part, { stream: true });
  }
}
