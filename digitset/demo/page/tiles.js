// The tiles on the screen: one element for each, kept as long as its tile is.

import { letDraw } from "./drawing.js";
import { grey, paint } from "./ink.js";
import { colour, mapsOf } from "./maps.js";
import { letDrag } from "./order.js";
import { choose, find, get, isOpen, many, model, set } from "./state.js";
import { alone, contribution, effect, percent, reading, rightAlone, sureAlone } from "./words.js";

const elements = new Map();
const rooms = [null, null]; // the keys of the large tiles, of the right one and of the left one
export const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();

export const elementOf = (key) => elements.get(key);

function create(tile, tag) {
  const item = document.createElement(tag);
  item.className = "tile";
  item.dataset.key = tile.key;
  item.innerHTML = `
    <canvas class="pad" width="224" height="224" aria-hidden="true"></canvas>
    <canvas class="map" width="1" height="1" aria-hidden="true"></canvas>
    <span class="hint" aria-hidden="true">draw</span>
    <span class="heat" aria-hidden="true"></span>
    <div class="caption" aria-hidden="true"><canvas class="seen" width="28" height="28"></canvas>
    <span class="reading"></span> <span class="adds"></span></div>`;
  letDraw(item.querySelector(".pad"), item, tile.key);
  item.addEventListener("focus", () => {
    if (get().chosen === tile.key) return;
    choose(tile.key);
    set({ pointed: null });
  });
  item.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse" && !event.buttons) set({ pointed: tile.key });
  });
  item.addEventListener("pointerleave", () => set({ pointed: null }));
  elements.set(tile.key, item);
  return item;
}

export function showTiles(list, now) {
  const filled = now.tiles.filter((one) => one.pixels).length;
  if (!now.still) document.getElementById("stage").classList.toggle("many", many());
  giveRoom(now.tiles);
  now.tiles.forEach((tile, place) => {
    let item = elements.get(tile.key);
    if (!item) {
      item = create(tile, "li");
      item.setAttribute("role", "option");
      letDrag(item.querySelector(".caption"), item, tile.key);
    }
    if (list.children[place] !== item) list.insertBefore(item, list.children[place] ?? null);
    showTile(item, tile, now);
    item.setAttribute("aria-label", labelOf(tile, place, filled, now));
    item.setAttribute("aria-selected", String(now.chosen === tile.key));
  });
  while (list.children.length > now.tiles.length) {
    elements.delete(list.lastChild.dataset.key);
    list.lastChild.remove();
  }
  const reached = now.tiles.some((one) => one.key === now.chosen) ? now.chosen : now.tiles[0].key;
  for (const tile of now.tiles) elements.get(tile.key).tabIndex = tile.key === reached ? 0 : -1;
}

// Among many tiles two are large, the blank one and the one that is open. While one comes or goes, the other stays in
// its place, which may be under a pen.
function giveRoom(tiles) {
  const keys = tiles.filter(isOpen).map((one) => one.key);
  rooms.forEach((key, room) => {
    if (!keys.includes(key)) rooms[room] = null;
  });
  for (const key of keys) if (!rooms.includes(key)) rooms[rooms.indexOf(null)] = key;
}

export function showAnchor(place, now) {
  place.hidden = !model().anchored;
  if (place.hidden) return;
  let item = elements.get(now.anchor.key);
  if (!item) {
    item = create(now.anchor, "div");
    item.setAttribute("role", "button");
    item.tabIndex = 0;
    place.prepend(item);
  }
  showTile(item, now.anchor, now);
  item.setAttribute("aria-pressed", String(now.chosen === now.anchor.key));
  const known = now.anchor.label === null ? "" : `, a test image of ${now.anchor.label}`;
  item.setAttribute("aria-label", now.anchor.pixels ? `Anchor${known}` : "Anchor, empty: press a digit or draw");
}

function showTile(item, tile, now) {
  item.classList.toggle("blank", !tile.pixels);
  item.classList.toggle("open", isOpen(tile));
  item.classList.toggle("right", rooms[0] === tile.key);
  item.classList.toggle("left", rooms[1] === tile.key);
  item.classList.toggle("chosen", now.chosen === tile.key);
  const said = about(tile.key, now);
  const map = now.drawn === tile.key ? null : said.maps?.[now.map];
  const paintedAs = [tile.pixels, ink(), Boolean(map)];
  if (paintedAs.some((value, place) => item.painted?.[place] !== value)) {
    // A map is of the image that the model gets, not of the strokes as they were drawn.
    paint(item.querySelector(".pad"), map ? { ...tile, strokes: [] } : tile, ink());
    grey(item.querySelector(".seen"), tile.pixels ?? new Uint8Array(784), "#ffffff");
    item.painted = paintedAs;
  }
  item.querySelector(".map").hidden = !map;
  if (map) colour(item.querySelector(".map"), map);
  item.querySelector(".reading").textContent = said.reading ?? "";
  item.querySelector(".reading").classList.toggle("wrong", misread(said));
  item.querySelector(".adds").textContent = said.adds ?? "";
  item.style.setProperty("--heat", said.heat ?? 0);
}

// What is known of one tile: {reading, right, alone, sure, adds, effect, attention, heat, digits, maps}, of the answers that
// are there; `right` is what the reading should be, null where nobody knows.
export function about(key, now) {
  const { answers } = now;
  const said = answers?.said[answers.model];
  const place = answers?.keys.indexOf(key) ?? -1;
  const one = now.models.find((each) => each.name === answers?.model);
  if (place < 0 || !said?.single_answers || now.task !== answers.task) return {};
  const weights = said.attention && weightsOf(said.attention, now.head);
  const added = said.contributions?.[place];
  return {
    reading: reading(one, said.single_answers[place]),
    right: rightAlone(one, find(key).label, now.anchor.label),
    alone: alone(one, said.single_answers[place]),
    sure: sureAlone(one, said.single_answers[place]),
    adds: added === undefined ? null : contribution(one, said.answer, added),
    effect: added === undefined ? null : effect(one, said.answer, added),
    attention: weights ? weights[place] : null,
    heat: weights ? weights[place] / Math.max(...weights) : 0,
    digits: said.digit_probabilities?.[place] ?? null,
    maps: mapsOf(said, place),
  };
}

export const misread = (said) => Boolean(said.right) && said.reading !== said.right;

// The weights of one head, or their mean.
export function weightsOf(heads, head) {
  if (head !== null && heads[head]) return heads[head];
  return heads[0].map((_, place) => heads.reduce((sum, one) => sum + one[place], 0) / heads.length);
}

function labelOf(tile, place, filled, now) {
  if (!tile.pixels) return "Empty tile: press a digit for a test image of it, or draw";
  const said = about(tile.key, now);
  const parts = [`Digit ${place + 1} of ${filled}`];
  if (tile.label !== null) parts.push(`a test image of ${tile.label}`);
  if (said.reading) parts.push(said.alone); // the words under the tile come one after the other, as they are seen
  if (said.adds) parts.push(said.adds);
  if (said.sure) parts.push(`alone ${said.sure}`);
  if (misread(said)) parts.push(`wrong: the labels say ${said.right}`);
  if (said.attention != null) parts.push(`attention ${percent(said.attention)}`);
  return parts.join(", ");
}
