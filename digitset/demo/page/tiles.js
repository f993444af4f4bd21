// The tiles on the screen: one element for each, kept as long as its tile is.

import { letDraw } from "./drawing.js";
import { grey, paint } from "./ink.js";
import { colour, mapsOf } from "./maps.js";
import { letDrag } from "./order.js";
import { get, model, set } from "./state.js";
import { alone, contribution, effect, percent, reading } from "./words.js";

const MANY = 12;
const elements = new Map();
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
    <span class="reading"></span><span class="adds"></span></div>`;
  letDraw(item.querySelector(".pad"), item, tile.key);
  item.addEventListener("focus", () => {
    if (get().chosen !== tile.key) set({ chosen: tile.key, pointed: null });
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
  document.getElementById("stage").classList.toggle("many", filled > MANY);
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
  item.querySelector(".adds").textContent = said.adds ?? "";
  item.style.setProperty("--heat", said.heat ?? 0);
}

// What is known of one tile: {reading, alone, adds, effect, attention, heat, digits, maps}, of the answers that are there.
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
    alone: alone(one, said.single_answers[place]),
    adds: added === undefined ? null : contribution(one, said.answer, added),
    effect: added === undefined ? null : effect(one, said.answer, added),
    attention: weights ? weights[place] : null,
    heat: weights ? weights[place] / Math.max(...weights) : 0,
    digits: said.digit_probabilities?.[place] ?? null,
    maps: mapsOf(said, place),
  };
}

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
  if (said.reading) parts.push(said.alone);
  if (said.adds) parts.push(said.adds);
  if (said.attention != null) parts.push(`attention ${percent(said.attention)}`);
  return parts.join(", ");
}
