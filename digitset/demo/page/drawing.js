// Pointer events on a pad -> strokes of its tile.

import { read } from "./ink.js";
import { find, remember, replace, set } from "./state.js";

const CLOSEST = 0.004; // of the pad, between points

export function letDraw(pad, key) {
  let stroke = null;

  function point(event) {
    const box = pad.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  function show() {
    const strokes = [...before, stroke];
    replace(key, { strokes, pixels: read(strokes), label: null });
  }

  let before = [];
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || stroke) return;
    event.preventDefault();
    pad.setPointerCapture(event.pointerId);
    remember();
    before = find(key).strokes; // a picture is drawn over, a drawing is gone on with
    stroke = [point(event)];
    set({ chosen: key });
    show();
  });
  pad.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) {
      const next = point(each);
      const last = stroke.at(-1);
      if (Math.hypot(next.x - last.x, next.y - last.y) > CLOSEST) stroke = [...stroke, next];
    }
    show();
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    pad.addEventListener(end, () => {
      stroke = null;
    });
  }
}
