// Attention as lines: from the anchor to the tiles, or from the tile that is pointed at to all of them.

import { choices } from "./answer.js";
import { model, set } from "./state.js";
import { elementOf, weightsOf } from "./tiles.js";
import { inVain } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const TOLD = 0.05; // weights from here on have their number written
const THICKEST = 9; // pixels, for all of the attention
const FULL = 0.5; // weights from here on have all of the colour
const GUTTER = 7; // pixels from a tile to the middle of the gap before it
const HIGH = 32; // pixels that an arch over the first row may rise by; over others there is the gap between two rows

export function showAttention(svg, now) {
  const stage = svg.parentElement;
  const flow = flowOf(now);
  const said = saidNow(now);
  stage.classList.toggle("attends", Boolean(needsRoom(now)));
  stage.classList.toggle("vain", Boolean(said && !said.refused && inVain(model(), said)));
  svg.replaceChildren();
  if (!flow) return;
  const origin = stage.getBoundingClientRect();
  const from = elementOf(flow.from)?.querySelector(".pad").getBoundingClientRect();
  if (!from) return;
  const first = stage.querySelector(".tiles .tile .pad").getBoundingClientRect().top - origin.top;
  const gap = Number.parseFloat(getComputedStyle(stage.querySelector(".tiles")).rowGap);
  flow.keys.forEach((key, place) => {
    const to = elementOf(key)?.querySelector(".pad").getBoundingClientRect();
    if (to) svg.append(...line({ origin, from, first, gap }, to, flow.weights[place], key === flow.from));
  });
}

const saidNow = (now) => (now.answers?.task === now.task ? now.answers.said[now.answers.model] : null);

// For lines above the tiles, or the choice of a head.
function needsRoom(now) {
  const { attention, pairwise } = saidNow(now) ?? {};
  return attention && (model().anchored || pairwise || attention.length > 1);
}

// {from, keys, weights}, or null where there is nothing to show.
function flowOf(now) {
  const said = saidNow(now);
  if (!said?.attention) return null;
  const { keys } = now.answers;
  const asked = now.models.find((one) => one.name === now.answers.model);
  if (asked.anchored) return { from: now.anchor.key, keys, weights: weightsOf(said.attention, now.head) };
  const from = [now.pointed, now.chosen].find((key) => keys.includes(key));
  if (!from || !said.pairwise) return null;
  const row = said.pairwise.map((head) => head[keys.indexOf(from)]);
  return { from, keys, weights: weightsOf(row, now.head) };
}

function line({ origin, from, first, gap }, to, weight, itself) {
  const at = { x: to.left + to.width / 2 - origin.left, y: to.top - origin.top };
  const start = { x: from.left + from.width / 2 - origin.left, y: from.top - origin.top };
  const below = { x: start.x, y: from.bottom - origin.top };
  const path = document.createElementNS(SVG, "path");
  const thick = 0.75 + THICKEST * weight;
  const high = start.y < first + 1 ? HIGH : Math.min(HIGH, riseTo(gap - thick / 2));
  path.setAttribute("d", itself ? loop(at, high) : route(start, below, first, at, to, high));
  path.setAttribute("stroke-width", thick.toFixed(2));
  path.setAttribute("stroke-opacity", (0.12 + 0.78 * Math.min(1, weight / FULL)).toFixed(2));
  return weight < TOLD ? [path] : [path, number(at, weight, to)];
}

function number(at, weight, to) {
  const text = document.createElementNS(SVG, "text");
  text.setAttribute("x", at.x + to.width / 2);
  text.setAttribute("y", at.y - 5);
  text.textContent = `${Math.round(100 * weight)} %`;
  return text;
}

// Within a row an arch over the tiles, no higher than `high`: above it are words. To another row the arch ends between
// two tiles, and goes on there up or down. From an anchor that stands above the tiles it goes straight down.
function route(start, below, first, at, to, high) {
  const aside = at.x - to.width / 2 - GUTTER;
  const above = below.y < first;
  const sameRow = Math.abs(at.y - (above ? first : start.y)) < to.height / 2;
  if (sameRow) return above ? fall(below, at) : arch(start, at.x, at.y, high);
  const middle = at.y + to.height / 2;
  const way = above ? fall(below, { x: aside, y: first }) : arch(start, aside, start.y, high);
  return `${way}V${middle + (middle > start.y ? -10 : 10)}Q${aside} ${middle} ${aside + GUTTER} ${middle}`;
}

// A curve reaches three quarters of the height of the points that bend it.
const riseTo = (height) => (4 / 3) * height;

function arch({ x, y }, endX, endY, high) {
  const rise = Math.min(high, 18 + 0.05 * Math.abs(endX - x));
  return `M${x} ${y}C${x} ${y - rise} ${endX} ${endY - rise} ${endX} ${endY}`;
}

function fall({ x, y }, at) {
  const bend = (at.y - y) / 2;
  return `M${x} ${y}C${x} ${y + bend} ${at.x} ${at.y - bend} ${at.x} ${at.y}`;
}

function loop({ x, y }, high) {
  const top = y - Math.min(high, 26);
  return `M${x - 9} ${y}C${x - 22} ${top} ${x + 22} ${top} ${x + 9} ${y}`;
}

// One head, or the mean of them all.
export function showHeads(fieldset, now) {
  const heads = saidNow(now)?.attention?.length ?? 0;
  fieldset.hidden = heads < 2;
  if (heads < 2) return;
  const values = ["mean", ...Array.from({ length: heads }, (_, head) => head)];
  choices(fieldset, values, now, {
    name: "head",
    chosen: (head) => head === (now.head ?? "mean"),
    choose: (head) => set({ head: head === "mean" ? null : head }),
    value: (head) => `head-${head}`,
    text: (head) => (head === "mean" ? "mean of heads" : `${head + 1}`),
  });
}
