// All of it by keyboard: on a tile, and undo anywhere.

import { dealDigits } from "./api.js";
import { clear, find, get, makeAnchor, move, remember, remove, redo, replace, undo } from "./state.js";
import { elementOf } from "./tiles.js";

export function listenToKeys(stage, report) {
  stage.addEventListener("keydown", (event) => {
    const key = event.target.closest?.(".tile")?.dataset.key;
    if (!key || event.ctrlKey || event.metaKey || event.altKey) return;
    if (act(key, event, report)) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    const pressed = event.key.toLowerCase();
    if (!(event.ctrlKey || event.metaKey) || event.altKey || !"zy".includes(pressed)) return;
    event.preventDefault();
    if (pressed === "y" || event.shiftKey) redo();
    else undo();
  });
}

function act(key, event, report) {
  const { tiles } = get();
  const place = tiles.findIndex((one) => one.key === key);
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (step && place >= 0) {
    if (event.shiftKey) move(key, place + step);
    focus(event.shiftKey ? key : tiles[place + step]?.key);
  } else if (event.key === "Home" || event.key === "End") {
    focus(tiles.at(event.key === "Home" ? 0 : -1).key);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    if (place >= 0) remove(key);
    else clear(key);
    focus(get().chosen ?? key);
  } else if (/^[0-9]$/.test(event.key)) {
    put(key, Number(event.key), report);
  } else if (event.key.toLowerCase() === "a") {
    makeAnchor(key);
  } else if (event.key.toLowerCase() === "c") {
    clear(key);
    focus(key);
  } else {
    return false;
  }
  return true;
}

const focus = (key) => elementOf(key)?.focus();

async function put(key, digit, report) {
  try {
    const [one] = await dealDigits(1, digit);
    if (!find(key)) return;
    remember();
    replace(key, { ...one, strokes: [] });
    focus(key);
  } catch (error) {
    report(error);
  }
}
