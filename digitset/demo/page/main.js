// The page begins here: it asks what models there are, deals some digits, and shows whatever changes.

import { choices, showAnswer, showModels } from "./answer.js";
import { dealDigits, listModels, normalise } from "./api.js";
import { ask } from "./ask.js";
import { showAttention, showHeads } from "./attention.js";
import { prepare, showLooked } from "./looked.js";
import { listenToKeys } from "./keys.js";
import { add, canUndo, deal, filled, get, listen, model, remember } from "./state.js";
import { replace, set, setTiles, tile, undo } from "./state.js";
import { showAnchor, showTiles } from "./tiles.js";
import { title } from "./words.js";

const MOST = 60; // tiles
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
  document.querySelector('[data-do="undo"]').setAttribute("aria-disabled", String(!canUndo()));
}

// Answers are asked for anew when what they are about changes.
function askIfChanged(now, before) {
  const watched = ["tiles", "anchor", "task", "choice"];
  const one = now.models.find((each) => each.task === now.task && each.single_image);
  if (one) watched.push("chosen");
  if (watched.some((name) => now[name] !== before[name])) ask();
}

const report = (error) => set({ problem: error.message });

const doing = {
  "deal-5": async () => deal(await dealDigits(5)),
  "deal-30": async () => deal(await dealDigits(30)),
  add: async () => filled().length < MOST && add(await dealDigits(1)),
  "deal-anchor": async () => {
    const [one] = await dealDigits(1);
    remember();
    replace(get().anchor.key, { ...one, strokes: [] });
  },
  undo: async () => undo(),
  "clear-all": async () => {
    remember();
    setTiles([], { chosen: null });
  },
};

async function addPictures(files) {
  for (const file of [...files].slice(0, MOST - filled().length)) {
    try {
      const { pixels, doubt } = await normalise(file);
      add([{ pixels }]);
      if (doubt) report(new Error(`${file.name}: ${doubt}`));
    } catch (error) {
      report(new Error(`${file.name}: ${error.message}`));
    }
  }
}

function listenToPerson() {
  for (const button of document.querySelectorAll("[data-do]")) {
    button.addEventListener("click", () => doing[button.dataset.do]().catch(report));
  }
  place("files").addEventListener("change", async (event) => {
    await addPictures(event.target.files);
    event.target.value = "";
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    addPictures(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => addPictures(event.clipboardData.files));
  for (const kind of ["pointerdown", "keydown"]) {
    document.addEventListener(kind, () => get().problem && set({ problem: null }), { capture: true });
  }
  listenToKeys(place("stage"), report);
  new ResizeObserver(() => showAttention(place("lines"), get())).observe(place("stage"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => set({}));
}

async function start() {
  const models = await listModels();
  const [digits, [anchor]] = await Promise.all([dealDigits(5), dealDigits(1)]);
  const choice = {};
  for (const one of models) choice[one.task] ??= one.name;
  const begin = models.find((one) => one.default);
  prepare(place("looked"));
  const tiles = [...digits.map(tile), tile()];
  set({ models, task: begin.task, choice, tiles, anchor: tile(anchor), chosen: tiles[0].key });
  listen(show);
  listen(askIfChanged);
  listenToPerson();
  show(get());
  ask();
}

start().catch((error) => {
  places.problem.textContent = error.message;
  places.problem.hidden = false;
});
