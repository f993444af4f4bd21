// Attention as lines: from the anchor to the tiles, or from the tile that is pointed at to all of them.

import { elementOf, weightsOf } from "./tiles.js";
import { percent } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const TOLD = 0.05; // weights from here on have their number written
const THICKEST = 9; // pixels, for all of the attention

export function showAttention(svg, now) {
  const stage = svg.parentElement;
  const flow = flowOf(now);
  stage.classList.toggle("attends", Boolean(attends(now)));
  svg.replaceChildren();
  if (!flow) return;
  const origin = stage.getBoundingClientRect();
  const from = elementOf(flow.from)?.querySelector(".pad").getBoundingClientRect();
  if (!from) return;
  const most = Math.max(...flow.weights);
  flow.keys.forEach((key, place) => {
    const to = elementOf(key)?.querySelector(".pad").getBoundingClientRect();
    if (to) svg.append(...line(origin, from, to, flow.weights[place], most, key === flow.from));
  });
}

const saidNow = (now) => (now.answers?.task === now.task ? now.answers.said[now.answers.model] : null);

const attends = (now) => saidNow(now)?.attention;

// {from, keys, weights}, or null where there is nothing to show.
function flowOf(now) {
  const said = saidNow(now);
  if (!said?.attention) return null;
  const { keys } = now.answers;
  const asked = now.models.find((one) => one.task === now.task && one.model === now.answers.model);
  if (asked.anchored) return { from: now.anchor.key, keys, weights: weightsOf(said.attention, now.head) };
  const from = [now.pointed, now.chosen].find((key) => keys.includes(key));
  if (!from || !said.pairwise) return null;
  const row = said.pairwise.map((head) => head[keys.indexOf(from)]);
  return { from, keys, weights: weightsOf(row, now.head) };
}

function line(origin, from, to, weight, most, itself) {
  const x = (box) => box.left + box.width / 2 - origin.left;
  const target = { x: x(to), y: to.top - origin.top };
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", itself ? loop(target) : curve(origin, from, x(from), target));
  path.setAttribute("stroke-width", (0.75 + THICKEST * weight).toFixed(2));
  path.setAttribute("stroke-opacity", (0.12 + 0.78 * (weight / most)).toFixed(2));
  if (weight < TOLD) return [path];
  const text = document.createElementNS(SVG, "text");
  text.setAttribute("x", target.x + 5 + (THICKEST * weight) / 2);
  text.setAttribute("y", target.y - 6);
  text.textContent = percent(weight);
  return [path, text];
}

// An arch over the tiles of a row; from a row to one below it, a line down through the gap.
function curve(origin, from, start, target) {
  if (target.y > from.bottom - origin.top - 1) {
    const y = from.bottom - origin.top;
    const bend = (target.y - y) / 2;
    return `M${start} ${y}C${start} ${y + bend} ${target.x} ${target.y - bend} ${target.x} ${target.y}`;
  }
  const y = from.top - origin.top;
  const rise = Math.min(62, 22 + 0.09 * Math.abs(target.x - start));
  return `M${start} ${y}C${start} ${y - rise} ${target.x} ${target.y - rise} ${target.x} ${target.y}`;
}

const loop = ({ x, y }) => `M${x - 9} ${y}C${x - 22} ${y - 26} ${x + 22} ${y - 26} ${x + 9} ${y}`;
