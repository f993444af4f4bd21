// Strokes -> the 28x28 grey values that a model gets, and both of them onto the screen.

import { PEN } from "./state.js";

export const SIDE = 28;
export const BOX = 20; // the longest side of a digit of MNIST, in pixels
export const CENTRE = 14.5; // of mass of MNIST's digits on average, in pixels from the edge: the middle of the fifteenth
const FINE = 4; // parts of a pixel, each way, over which ink is averaged
const SMALLEST = 0.15; // of the pad; what is smaller than that stays small
const SHOWN = 0.085; // of the pad: the width of a stroke of PEN
const BORDER = "#000";

function surface(side) {
  const canvas = document.createElement("canvas");
  canvas.width = side;
  canvas.height = side;
  return canvas.getContext("2d", { willReadFrequently: true });
}

const fine = surface(SIDE * FINE);
const small = surface(SIDE);

// As MNIST was made: the digit's box is scaled to 20 pixels, and its centre of mass put in its place. Strokes are
// scaled by their middle line and drawn with a pen that is not, so that small writing is not thick.
export function read(strokes) {
  const points = strokes.flatMap((stroke) => stroke.points);
  const pen = Math.max(...strokes.map((stroke) => stroke.pen));
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const scale = ((BOX - pen) / Math.max(right - left, bottom - top, SMALLEST)) * FINE;
  const middle = (SIDE * FINE) / 2;
  const at = { x: middle - ((left + right) / 2) * scale, y: middle - ((top + bottom) / 2) * scale };
  const centre = centreOfMass(trace(strokes, scale, at));
  const to = CENTRE * FINE;
  return average(trace(strokes, scale, { x: at.x + to - centre.x, y: at.y + to - centre.y }));
}

function trace(strokes, scale, at) {
  fine.setTransform(1, 0, 0, 1, 0, 0);
  fine.clearRect(0, 0, SIDE * FINE, SIDE * FINE);
  fine.setTransform(scale, 0, 0, scale, at.x, at.y);
  draw(fine, strokes, FINE / scale, BORDER);
  return fine.getImageData(0, 0, SIDE * FINE, SIDE * FINE).data;
}

function centreOfMass(data) {
  let [mass, x, y] = [0, 0, 0];
  for (let place = 0; place < SIDE * FINE * SIDE * FINE; place += 1) {
    const ink = data[4 * place + 3];
    mass += ink;
    x += ink * ((place % (SIDE * FINE)) + 0.5);
    y += ink * (Math.floor(place / (SIDE * FINE)) + 0.5);
  }
  return mass ? { x: x / mass, y: y / mass } : { x: (SIDE * FINE) / 2, y: (SIDE * FINE) / 2 };
}

function average(data) {
  const sums = new Float32Array(SIDE * SIDE);
  for (let row = 0; row < SIDE * FINE; row += 1) {
    for (let column = 0; column < SIDE * FINE; column += 1) {
      const pixel = Math.floor(row / FINE) * SIDE + Math.floor(column / FINE);
      sums[pixel] += data[4 * (row * SIDE * FINE + column) + 3];
    }
  }
  return Uint8Array.from(sums, (sum) => Math.round(sum / (FINE * FINE)));
}

// `unit` is the width of a pen of one pixel of MNIST.
function draw(context, strokes, unit, colour) {
  context.lineCap = "round";
  context.lineJoin = "round";
  context.strokeStyle = colour;
  for (const { pen, points } of strokes) {
    context.lineWidth = pen * unit;
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (let place = 1; place < points.length; place += 1) {
      const [from, to] = [points[place - 1], points[place]];
      context.quadraticCurveTo(from.x, from.y, (from.x + to.x) / 2, (from.y + to.y) / 2);
    }
    context.lineTo(points.at(-1).x, points.at(-1).y);
    context.stroke();
  }
}

// The tile as a person made it, in the colour of the page's ink.
export function paint(canvas, tile, colour) {
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (tile.strokes.length) {
    context.setTransform(canvas.width, 0, 0, canvas.height, 0, 0);
    draw(context, tile.strokes, SHOWN / PEN, colour);
  } else if (tile.pixels) {
    grey(small.canvas, tile.pixels, colour);
    context.imageSmoothingQuality = "high";
    context.drawImage(small.canvas, 0, 0, canvas.width, canvas.height);
  }
}

// Pixels as they are, one to one: ink of a colour, on nothing.
export function grey(canvas, pixels, colour) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(SIDE, SIDE);
  const [red, green, blue] = channels(colour);
  for (let place = 0; place < SIDE * SIDE; place += 1) image.data.set([red, green, blue, pixels[place]], 4 * place);
  context.putImageData(image, 0, 0);
}

function channels(colour) {
  return [1, 3, 5].map((place) => Number.parseInt(colour.slice(place, place + 2), 16));
}
