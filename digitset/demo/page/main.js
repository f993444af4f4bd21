// The page begins here: it asks what models there are, deals some digits, and shows whatever changes.

import { choices, showAnswer, showModels } from "./answer.js";
import { dealDigits, listModels } from "./api.js";
import { ask } from "./ask.js";
import { showAttention, showHeads } from "./attention.js";
import { openFiles } from "./files.js";
import { copyLink, saveJson, savePicture } from "./keep.js";
import { listenToKeys } from "./keys.js";
import { prepare, showLooked } from "./looked.js";
import { readAddress, writeAddress } from "./saved.js";
import { MOST, PEN, add, canRedo, canUndo, deal, filled, get, listen, model, redo, remember } from "./state.js";
import { replace, set, setTiles, tile, undo } from "./state.js";
import { showAnchor, showTiles } from "./tiles.js";
import { title } from "./words.js";

const PATIENCE = 2000; // milliseconds, until a service that does not answer is asked again what it has
const PENS = { thin: 2, medium: PEN, thick: 4 };
const place = (name) => document.getElementById(name);
const places = { answer: place("answer"), chart: place("chart"), status: place("status"), problem: place("problem") };

function show(now) {
  const one = model();
  place("question").textContent = one.question.replace("'", "’");
  place("about").textContent = one.about;
  choices(place("tasks"), [...new Set(now.models.map((each) => each.task))], now, {
    name: "task",
    chosen: (task) => task === now.task,
    choose: (task) => set({ task, head: null }),
    value: (task) => task,
    text: title,
  });
  showAnchor(place("anchor-place"), now);
  showTiles(place("tiles"), now);
  showLooked(place("looked"), now);
  showAnswer(places, now);
  showModels(place("models"), now);
  showHeads(place("heads"), now);
  showAttention(place("lines"), now);
  for (const [name, can] of [["undo", canUndo()], ["redo", canRedo()]]) {
    document.querySelector(`[data-do="${name}"]`).setAttribute("aria-disabled", String(!can));
  }
}

function showNote(now, before) {
  if (now.note === before.note) return;
  const button = document.createElement("button");
  Object.assign(button, { type: "button", textContent: now.note?.action });
  button.addEventListener("click", () => now.note.act().catch(report));
  place("note").replaceChildren(...(now.note ? [now.note.text] : []), ...(now.note?.action ? [button] : []));
}

// Answers are asked for anew when what they are about changes.
function askIfChanged(now, before) {
  const watched = ["tiles", "anchor", "task", "choice"];
  const one = now.models.find((each) => each.task === now.task && each.single_image);
  if (one) watched.push("chosen");
  if (watched.some((name) => now[name] !== before[name])) ask();
}

function keepIfChanged(now, before) {
  if (["tiles", "anchor", "task", "choice"].some((name) => now[name] !== before[name])) writeAddress();
}

function report(error) {
  set({ problem: error });
  if (error.again) ask(); // until the service is back
}

const doing = {
  "deal-5": async () => deal(await dealDigits(5)),
  "deal-30": async () => deal(await dealDigits(30)),
  add: async () => {
    if (filled().length >= MOST) throw new Error(`There are ${MOST} digits, and no room for more. Remove one.`);
    add(await dealDigits(1));
  },
  "deal-anchor": async () => {
    const [one] = await dealDigits(1);
    remember();
    replace(get().anchor.key, { ...one, strokes: [] });
  },
  undo: async () => undo(),
  redo: async () => redo(),
  link: async () => {
    await copyLink();
    set({ note: { text: "The link is copied. Whoever opens it sees these digits." } });
  },
  picture: () => savePicture(place("stage")),
  json: async () => saveJson(),
  "clear-all": async () => {
    remember();
    setTiles([], { chosen: null });
  },
};

function listenToPerson() {
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => doing[button.dataset.do]().catch(report));
  }
  place("files").addEventListener("change", async (event) => {
    await openFiles([...event.target.files]);
    event.target.value = "";
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    openFiles([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => openFiles([...event.clipboardData.files]));
  for (const kind of ["pointerdown", "keydown"]) document.addEventListener(kind, forget, { capture: true });
  for (const [name, pen] of Object.entries(PENS)) {
    document.querySelector(`#pens [value="${name}"]`).addEventListener("change", () => set({ pen }));
  }
  addEventListener("online", ask);
  addEventListener("hashchange", () => readAddress().catch(report));
  listenToKeys(place("stage"), report);
  new ResizeObserver(() => showAttention(place("lines"), get())).observe(place("stage"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => set({}));
}

// What went wrong, and what there was to know, has been seen by a person who goes on; except that the service is away.
function forget(event) {
  if (["Tab", "Shift"].includes(event.key) || event.target.closest?.("#note")) return;
  if (get().note || (get().problem && !get().problem.again)) set({ note: null, problem: null });
}

async function start() {
  const models = await listModels();
  const choice = {};
  for (const one of models) choice[one.task] ??= one.name;
  set({ models, task: models.find((one) => one.default).task, choice, anchor: get().anchor ?? tile() });
  let unreadable = null;
  const known = await readAddress().catch((error) => ((unreadable = error), false));
  if (!known) {
    const [digits, [anchor]] = await Promise.all([dealDigits(5), dealDigits(1)]);
    const tiles = [...digits.map(tile), tile()];
    set({ tiles, anchor: { ...get().anchor, ...anchor }, chosen: tiles[0].key, problem: unreadable });
  }
  prepare(place("looked"));
  for (const listener of [show, showNote, askIfChanged, keepIfChanged]) listen(listener);
  listenToPerson();
  show(get());
  ask();
  writeAddress();
}

async function startUntilItWorks() {
  try {
    places.problem.hidden = true;
    await start();
  } catch (error) {
    places.problem.textContent = error.message;
    places.problem.hidden = false;
    if (error.again) setTimeout(startUntilItWorks, PATIENCE);
  }
}

startUntilItWorks();
