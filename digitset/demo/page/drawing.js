// Pointer events on a pad -> strokes of its tile. A tap only chooses the tile: it takes a movement to draw.

import { read } from "./ink.js";
import { choose, find, get, isOpen, many, remember, replace, set, setTiles } from "./state.js";

const CLOSEST = 0.004; // of the pad, between points
const TAP = 3; // pixels
const STILL = 1500; // milliseconds after a stroke in which the next one of the same digit finds its tile in its place
const FINE = 1000; // positions on a pad: points are round, so that they are saved exactly
let calm = 0;

export function letDraw(pad, item, key) {
  let down = null; // where the pointer came down, and the strokes that were there before
  let points = null;
  let near = false; // whether the mouse is over the tile

  function point(event) {
    const box = pad.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    return { x: Math.round(FINE * x) / FINE, y: Math.round(FINE * y) / FINE };
  }

  function draw(event) {
    if (!points) {
      clearTimeout(calm);
      remember();
      points = [point(down.event)];
      set({ drawn: key, open: key, still: true });
    }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      const next = point(each);
      const last = points.at(-1);
      if (Math.hypot(next.x - last.x, next.y - last.y) > CLOSEST) points = [...points, next];
    }
    const strokes = [...down.strokes, { pen: get().pen, points }]; // a drawing is gone on with, a picture is drawn over
    replace(key, { strokes, pixels: read(strokes), label: null });
  }

  function end() {
    const drawn = points;
    down = points = null;
    if (!drawn) return;
    set({ drawn: null });
    setTiles(get().tiles);
    rest();
  }

  function rest() {
    clearTimeout(calm);
    calm = setTimeout(finish, STILL);
  }

  // The digit is drawn, and among many its tile joins the others; not while the mouse is there and may go on.
  function finish() {
    if (down) return;
    set({ still: false });
    if (many() && get().open === key && !near) set({ open: null });
  }

  item.addEventListener("pointerenter", (event) => (near = event.pointerType === "mouse"));
  item.addEventListener("pointerleave", () => {
    near = false;
    if (!down && get().open === key) rest();
  });
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || down) return;
    if (event.pointerType !== "mouse" && !isOpen(find(key))) return; // it may be the beginning of a swipe
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    down = { event, strokes: find(key).strokes };
    item.focus({ preventScroll: true });
    choose(key);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!down || event.pointerId !== down.event.pointerId) return;
    const far = Math.hypot(event.clientX - down.event.clientX, event.clientY - down.event.clientY) > TAP;
    if (points || far) draw(event);
  });
  for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pad.addEventListener(kind, (event) => event.pointerId === down?.event.pointerId && end());
  }
  pad.addEventListener("click", () => {
    item.focus({ preventScroll: true });
    choose(key);
  });
}
