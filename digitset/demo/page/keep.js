// What a person takes along: a link, a picture of what is on the screen, a file of JSON.

import { get, model } from "./state.js";
import { link, saved } from "./saved.js";
import { named, headline, detail } from "./words.js";

const SCALE = 2; // pixels of the picture in one of the page's
const EDGE = 24;

export async function copyLink() {
  const address = await link();
  try {
    await navigator.clipboard.writeText(address);
  } catch {
    throw new Error("The browser lets no link be copied here. The address of this page is the link.");
  }
}

export function saveJson() {
  const { answers } = get();
  const text = JSON.stringify({ ...saved(), answers: answers?.said ?? {} }, null, 1);
  download(new Blob([text], { type: "application/json" }), "digitset.json");
}

export async function savePicture(stage) {
  const canvas = pictureOf(stage);
  download(await new Promise((resolve) => canvas.toBlob(resolve)), "digitset.png");
}

function download(blob, name) {
  const anchor = document.createElement("a");
  anchor.href = URL.createObjectURL(blob);
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
}

// Question, digits with what is written under them, lines of attention, and answer.
function pictureOf(stage) {
  const box = stage.getBoundingClientRect();
  const canvas = document.createElement("canvas");
  const [top, bottom] = [2.5 * EDGE, 5.5 * EDGE];
  canvas.width = SCALE * (box.width + 2 * EDGE);
  canvas.height = SCALE * (box.height + top + bottom);
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.body);
  const font = style.fontFamily;
  context.scale(SCALE, SCALE);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  write(context, model().question, EDGE, EDGE + 12, style.color, `500 20px ${font}`);
  context.translate(EDGE - box.left, top - box.top);
  for (const tile of stage.querySelectorAll(".tile:not(.blank)")) paintTile(context, tile, font);
  for (const part of stage.querySelectorAll("#lines > *")) paintLine(context, part, box, font);
  context.translate(box.left, box.bottom);
  const said = get().answers?.said[model().name];
  if (!said || said.refused) return canvas;
  const words = headline(model(), said.answer);
  write(context, words, 0, 3 * EDGE, style.color, `300 64px ${font}`);
  const name = named(model(), get().models.filter((one) => one.task === model().task));
  write(context, `${name}: ${detail(model(), said)}`, 0, 4.5 * EDGE, style.color, `14px ${font}`);
  return canvas;
}

function paintTile(context, tile, font) {
  for (const kind of ["pad", "map"]) {
    const part = tile.querySelector(`.${kind}`);
    const { left, top, width, height } = part.getBoundingClientRect();
    context.imageSmoothingEnabled = kind === "pad";
    if (!part.hidden) context.drawImage(part, left, top, width, height);
    if (kind === "pad") strokeBox(context, part, { left, top, width, height });
  }
  for (const part of tile.querySelectorAll(".reading, .adds")) {
    const box = part.getBoundingClientRect();
    const style = getComputedStyle(part);
    const wrong = part.classList.contains("wrong") ? " ✗" : "";
    if (box.width) write(context, part.textContent + wrong, box.left, box.bottom - 3, style.color, `${style.fontSize} ${font}`);
  }
}

function strokeBox(context, part, { left, top, width, height }) {
  context.strokeStyle = getComputedStyle(part).borderColor;
  context.lineWidth = 1;
  context.strokeRect(left, top, width, height);
}

function paintLine(context, part, box, font) {
  const style = getComputedStyle(part);
  context.save();
  context.translate(box.left, box.top);
  if (part.tagName === "path") {
    context.strokeStyle = style.stroke;
    context.globalAlpha = Number(style.strokeOpacity);
    context.lineWidth = Number(part.getAttribute("stroke-width"));
    context.setLineDash(style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(/[ ,]+/).map(Number.parseFloat));
    context.stroke(new Path2D(part.getAttribute("d")));
  } else {
    context.textAlign = "right";
    write(context, part.textContent, Number(part.getAttribute("x")), Number(part.getAttribute("y")), style.fill, `500 11px ${font}`);
  }
  context.restore();
}

function write(context, text, x, y, colour, font) {
  Object.assign(context, { fillStyle: colour, font });
  context.fillText(text, x, y);
}
