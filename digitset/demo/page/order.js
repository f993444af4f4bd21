// Tiles are moved by what is written under them: the tile follows the pointer, the others make room.

import { choose, get, move } from "./state.js";

const FARTHEST = 4; // pixels of a click that is no drag

export function letDrag(handle, item, key) {
  let from = null;

  handle.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    from = { x: event.clientX, y: event.clientY, moved: false };
    choose(key);
    item.focus({ preventScroll: true });
  });
  handle.addEventListener("pointermove", (event) => {
    if (!from) return;
    const [x, y] = [event.clientX - from.x, event.clientY - from.y];
    from.moved ||= Math.hypot(x, y) > FARTHEST;
    if (!from.moved) return;
    item.classList.add("dragged");
    item.style.transform = `translate(${x}px, ${y}px)`;
    mark(item, place(item, event));
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    handle.addEventListener(end, (event) => {
      if (!from) return;
      const moved = from.moved;
      from = null;
      const to = place(item, event);
      item.classList.remove("dragged");
      item.style.transform = "";
      mark(item, -1);
      if (moved && end === "pointerup") move(key, to);
    });
  }
}

// Where a tile would be if it were let go here: the number of tiles before the pointer, in reading order.
function place(item, event) {
  const others = [...item.parentElement.children].filter((one) => one !== item && !one.classList.contains("blank"));
  return others.filter((one) => {
    const box = one.getBoundingClientRect();
    if (event.clientY > box.bottom) return true;
    return event.clientY > box.top && event.clientX > (box.left + box.right) / 2;
  }).length;
}

function mark(item, to) {
  const others = [...item.parentElement.children].filter((one) => one !== item);
  others.forEach((one, at) => one.classList.toggle("before", to >= 0 && at === Math.min(to, get().tiles.length - 2)));
}
