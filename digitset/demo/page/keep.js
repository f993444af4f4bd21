// What a person takes along: a link, a picture of what is on the screen, a file of JSON.

import { get, model, modelsOfTask } from "./state.js";
import { link, saved } from "./saved.js";
import { VAIN, detail, headline, inVain, named } from "./words.js";

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
  const [top, bottom] = [2.5 * EDGE, 6 * EDGE];
  canvas.width = SCALE * (box.width + 2 * EDGE);
  canvas.height = SCALE * (box.height + top + bottom);
  const context = canvas.getContext("2d");
  const { color, backgroundColor } = getComputedStyle(document.body);
  context.scale(SCALE, SCALE);
  context.fillStyle = backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.translate(EDGE, top);
  write(context, model().question, { x: 0, y: 12 - EDGE, size: 20, weight: 500, color, room: box.width });
  for (const tile of stage.querySelectorAll(".tile:not(.blank)")) paintTile(context, tile, box);
  for (const part of stage.querySelectorAll("#lines > *")) paintLine(context, part);
  context.translate(0, box.height);
  paintAnswer(context, color, box.width);
  return canvas;
}

function paintAnswer(context, color, room) {
  const one = model();
  const said = get().answers?.said[one.name];
  if (!said || said.refused) return;
  write(context, headline(one, said.answer), { x: 0, y: 3 * EDGE, size: 64, weight: 300, color, room });
  const words = `${named(one, modelsOfTask())}: ${detail(one, said)}`;
  write(context, words, { x: 0, y: 4.5 * EDGE, size: 14, color, room });
  if (inVain(one, said)) write(context, VAIN, { x: 0, y: 5.5 * EDGE, size: 14, color, room });
}

function paintTile(context, tile, origin) {
  for (const part of tile.querySelectorAll("canvas, .reading, .adds")) {
    const box = part.getBoundingClientRect();
    const [x, y] = [box.left - origin.left, box.top - origin.top];
    if (!box.width) continue;
    const { borderColor, backgroundColor, color, fontSize } = getComputedStyle(part);
    if (part.tagName === "CANVAS") {
      context.imageSmoothingEnabled = part.className === "pad";
      context.fillStyle = backgroundColor;
      context.fillRect(x, y, box.width, box.height);
      context.drawImage(part, x, y, box.width, box.height);
      Object.assign(context, { strokeStyle: borderColor, lineWidth: 1 });
      if (part.className === "pad") context.strokeRect(x, y, box.width, box.height);
    } else {
      const mark = part.classList.contains("wrong") ? " ✗" : "";
      const size = Number.parseFloat(fontSize);
      write(context, part.textContent + mark, { x, y: y + box.height - 3, size, color, room: 2 * box.width });
    }
  }
}

function paintLine(context, part) {
  const { stroke, strokeOpacity, strokeDasharray, fill } = getComputedStyle(part);
  const value = (name) => Number(part.getAttribute(name));
  context.save();
  if (part.tagName === "path") {
    const dashes = strokeDasharray === "none" ? [] : strokeDasharray.split(", ").map(Number.parseFloat);
    Object.assign(context, { strokeStyle: stroke, globalAlpha: strokeOpacity, lineWidth: value("stroke-width") });
    context.setLineDash(dashes);
    context.stroke(new Path2D(part.getAttribute("d")));
  } else {
    context.textAlign = "right";
    write(context, part.textContent, { x: value("x"), y: value("y"), size: 11, weight: 500, color: fill, room: 99 });
  }
  context.restore();
}

// Text, smaller where it would be wider than its room.
function write(context, text, { x, y, size, weight = 400, color, room }) {
  const family = getComputedStyle(document.body).fontFamily;
  context.font = `${weight} ${size}px ${family}`;
  const fitting = size * Math.min(1, room / context.measureText(text).width);
  Object.assign(context, { font: `${weight} ${fitting}px ${family}`, fillStyle: color });
  context.fillText(text, x, y);
}
