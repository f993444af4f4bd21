// A picture -> the digits on it, by a plain rule: what differs from the paper around it is ink, each piece of ink is a
// digit, and a piece above or below another belongs to it. The service knows more: digitset/pictures.

import { BOX, CENTRE, SIDE } from "./ink.js";

const LONGEST = 800; // pixels; larger pictures are reduced
const LEAST = 0.12; // of white, by which ink has to differ from paper
const SMALL = 0.2; // of the largest digit: what is smaller is a dot
const STROKE = 2.5; // of MNIST's pixels: thinner strokes are made as wide

// The 784 bytes of each digit, row by row.
export async function digitsOf(file) {
  const ink = inkOf(await opened(file));
  return inOrder(digits(pieces(ink))).map((piece) => imageOf(piece, ink));
}

// The same of all ink together.
export async function oneDigitOf(file) {
  const ink = inkOf(await opened(file));
  return imageOf(pieces(ink).reduce(joined), ink);
}

async function opened(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw new Error("expected a picture that this browser can show: PNG, JPEG or WebP");
  });
  const scale = Math.min(1, LONGEST / Math.max(bitmap.width, bitmap.height));
  const [wide, high] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(scale * side)));
  const context = new OffscreenCanvas(wide, high).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, wide, high);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, wide, high);
  const { data } = context.getImageData(0, 0, wide, high);
  const grey = Float32Array.from({ length: wide * high }, (_, at) =>
    (0.299 * data[4 * at] + 0.587 * data[4 * at + 1] + 0.114 * data[4 * at + 2]) / 255);
  return { grey, wide, high };
}

// {ink, wide, high, level}: how much each pixel differs from the paper around it; from `level` on it is ink.
function inkOf({ grey, wide, high }) {
  const paper = around(grey, wide, high, Math.max(8, Math.round(Math.max(wide, high) / 4)));
  const edge = median(grey.filter((_, at) => at < wide || at >= wide * (high - 1) || at % wide === 0));
  const darker = grey.reduce((sum, value) => sum + value - edge, 0) < 0;
  const ink = grey.map((value, at) => Math.max(0, darker ? paper[at] - value : value - paper[at]));
  const level = between(ink);
  const written = ink.filter((value) => value > level);
  if (!written.length || median(written) < LEAST) throw new Error("no ink is found on it");
  return { ink, wide, high, level, full: median(written) };
}

const median = (values) => Float32Array.from(values).sort()[values.length >> 1];

// The mean over a square of `reach` pixels each way.
function around(grey, wide, high, reach) {
  const sums = new Float64Array((wide + 1) * (high + 1));
  for (let y = 0; y < high; y += 1) {
    for (let x = 0, row = 0; x < wide; x += 1) {
      row += grey[y * wide + x];
      sums[(y + 1) * (wide + 1) + x + 1] = sums[y * (wide + 1) + x + 1] + row;
    }
  }
  const within = (value, most) => Math.min(most, Math.max(0, value));
  return Float32Array.from(grey, (_, at) => {
    const [x, y] = [at % wide, Math.floor(at / wide)];
    const [left, right] = [within(x - reach, wide), within(x + reach + 1, wide)];
    const [top, bottom] = [within(y - reach, high), within(y + reach + 1, high)];
    const of = (row, column) => sums[row * (wide + 1) + column];
    return (of(bottom, right) - of(top, right) - of(bottom, left) + of(top, left)) / ((right - left) * (bottom - top));
  });
}

// The threshold that leaves the least variance on either side of it (Otsu 1979).
function between(values) {
  const counts = new Array(256).fill(0);
  for (const value of values) counts[Math.min(255, Math.round(255 * value))] += 1;
  const total = counts.reduce((sum, count, value) => sum + count * value, 0);
  let [below, sum, best, level] = [0, 0, -1, 0];
  for (let value = 0; value < 255; value += 1) {
    below += counts[value];
    sum += counts[value] * value;
    const above = values.length - below;
    if (!below || !above) continue;
    const apart = below * above * (sum / below - (total - sum) / above) ** 2;
    if (apart > best) [best, level] = [apart, (value + 0.5) / 255];
  }
  return level;
}

// Pixels of ink that touch, each {left, right, top, bottom, pixels}.
function pieces({ ink, wide, high, level }) {
  const seen = new Uint8Array(ink.length);
  const found = [];
  for (let start = 0; start < ink.length; start += 1) {
    if (seen[start] || ink[start] <= level) continue;
    const pixels = [start];
    seen[start] = 1;
    for (let next = 0; next < pixels.length; next += 1) {
      const [x, y] = [pixels[next] % wide, Math.floor(pixels[next] / wide)];
      for (let down = Math.max(0, y - 1); down <= Math.min(high - 1, y + 1); down += 1) {
        for (let over = Math.max(0, x - 1); over <= Math.min(wide - 1, x + 1); over += 1) {
          const at = down * wide + over;
          if (seen[at] || ink[at] <= level) continue;
          seen[at] = 1;
          pixels.push(at);
        }
      }
    }
    found.push(boxed(pixels, wide));
  }
  const largest = found.reduce((most, piece) => Math.max(most, sizeOf(piece)), 0);
  return found.filter((piece) => sizeOf(piece) >= SMALL * largest);
}

function boxed(pixels, wide) {
  const box = { left: Infinity, right: 0, top: Infinity, bottom: 0, pixels };
  for (const at of pixels) {
    const [x, y] = [at % wide, Math.floor(at / wide)];
    Object.assign(box, { left: Math.min(box.left, x), right: Math.max(box.right, x + 1) });
    Object.assign(box, { top: Math.min(box.top, y), bottom: Math.max(box.bottom, y + 1) });
  }
  return box;
}

const sizeOf = ({ left, right, top, bottom }) => Math.max(right - left, bottom - top);

const joined = (one, other) => ({
  left: Math.min(one.left, other.left),
  right: Math.max(one.right, other.right),
  top: Math.min(one.top, other.top),
  bottom: Math.max(one.bottom, other.bottom),
  pixels: [...one.pixels, ...other.pixels],
});

// A stroke that stands over or under another and close to it is of the same digit, as the bar of a five.
function digits(found) {
  const whole = [];
  for (const piece of [...found].sort((one, other) => sizeOf(other) - sizeOf(one))) {
    const place = whole.findIndex((each) => {
      const over = Math.min(each.right, piece.right) - Math.max(each.left, piece.left);
      const gap = Math.max(each.top, piece.top) - Math.min(each.bottom, piece.bottom);
      return over > (piece.right - piece.left) / 2 && gap < sizeOf(each) / 5;
    });
    if (place < 0) whole.push(piece);
    else whole[place] = joined(whole[place], piece);
  }
  return whole;
}

function inOrder(found) {
  const rows = [];
  for (const piece of [...found].sort((one, other) => one.top - other.top)) {
    const row = rows.find(([first]) => piece.top < (first.top + first.bottom) / 2);
    if (row) row.push(piece);
    else rows.push([piece]);
  }
  return rows.flatMap((row) => row.sort((one, other) => one.left - other.left));
}

// 20 pixels long on 28x28, the centre of mass where MNIST's is. Thin strokes are made wider.
function imageOf(piece, { ink, wide, full }) {
  const scale = BOX / sizeOf(piece);
  const more = widerBy(piece, wide, scale);
  const room = more + 1;
  const [across, down] = [piece.right - piece.left + 2 * room, piece.bottom - piece.top + 2 * room];
  const image = new ImageData(across, down);
  let [mass, middle, centre] = [0, 0, 0];
  for (const at of piece.pixels) {
    const [x, y] = [(at % wide) - piece.left + room, Math.floor(at / wide) - piece.top + room];
    const value = Math.min(1, ink[at] / full);
    [mass, middle, centre] = [mass + value, middle + value * (x + 0.5), centre + value * (y + 0.5)];
    for (let row = y - more; row <= y + more; row += 1) {
      for (let column = x - more; column <= x + more; column += 1) {
        const alpha = 4 * (row * across + column) + 3;
        image.data[alpha] = Math.max(image.data[alpha], Math.round(255 * value));
      }
    }
  }
  const large = new OffscreenCanvas(across, down);
  large.getContext("2d").putImageData(image, 0, 0);
  const context = new OffscreenCanvas(SIDE, SIDE).getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  const smaller = BOX / (sizeOf(piece) + 2 * more);
  const [left, top] = [middle, centre].map((sum) => CENTRE - (smaller * sum) / mass);
  context.drawImage(large, left, top, smaller * across, smaller * down);
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  return Uint8Array.from({ length: SIDE * SIDE }, (_, at) => data[4 * at + 3]);
}

// By how many pixels each way. A stroke is as wide as twice its area by the length of its edge.
function widerBy(piece, wide, scale) {
  const inside = new Set(piece.pixels);
  const edge = piece.pixels.filter((at) => [at - 1, at + 1, at - wide, at + wide].some((next) => !inside.has(next)));
  const width = (2 * piece.pixels.length) / edge.length;
  return Math.max(0, Math.round((STROKE / scale - width) / 2));
}
