// Pointer events on a pad -> strokes of its tile. A tap only chooses the tile: it takes a movement to draw.

import { read } from "./ink.js";
import { find, remember, replace, set } from "./state.js";

const CLOSEST = 0.004; // of the pad, between points
const TAP = 3; // pixels

export function letDraw(pad, item, key) {
  let down = null; // where the pointer came down, and the strokes that were there before
  let stroke = null;

  function point(event) {
    const box = pad.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  function draw(event) {
    if (!stroke) {
      remember();
      stroke = [point(down.event)];
    }
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      const next = point(each);
      const last = stroke.at(-1);
      if (Math.hypot(next.x - last.x, next.y - last.y) > CLOSEST) stroke = [...stroke, next];
    }
    const strokes = [...down.strokes, stroke]; // a drawing is gone on with, a picture is drawn over
    set({ drawn: key });
    replace(key, { strokes, pixels: read(strokes), label: null });
  }

  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || down) return;
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    down = { event, strokes: find(key).strokes };
    item.focus({ preventScroll: true });
    set({ chosen: key });
  });
  pad.addEventListener("pointermove", (event) => {
    if (!down || event.pointerId !== down.event.pointerId) return;
    const far = Math.hypot(event.clientX - down.event.clientX, event.clientY - down.event.clientY) > TAP;
    if (stroke || far) draw(event);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pad.addEventListener(end, (event) => {
      if (event.pointerId !== down?.event.pointerId) return;
      down = stroke = null;
      set({ drawn: null });
    });
  }
}
