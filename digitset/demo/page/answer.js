// The answer in large, its chart, and what each model says of the same digits.

import { chance, distribution, number } from "./chart.js";
import { filled, get, model, modelsOfTask, set } from "./state.js";
import { VAIN, brief, certain, detail, headline, inVain, invitation, named, refusal } from "./words.js";

const QUIET = 700; // milliseconds without change, before a screen reader is told
let telling = 0;
let told = "";

export function showAnswer(places, now) {
  const one = model();
  const found = now.answers?.task === now.task ? now.answers : null;
  const said = found?.said[one.name];
  const text = invitation(one, filled().length, now.anchor?.pixels);
  const truth = truthOf(one, said);
  places.answer.replaceChildren(...(text ? [element("p", "invitation", text)] : large(one, said, truth)));
  const charted = !text && said && !said.refused;
  places.chart.replaceChildren(...(charted ? [chartOf(one, said, places.chart.clientWidth)] : []));
  places.problem.textContent = (now.problem ?? found?.problem)?.message ?? doubtOf(found);
  places.problem.hidden = !places.problem.textContent;
  tell(places.status, !text && said ? sentence(one, said, truth) : "");
}

// What to know of the drawings that are asked about, as of opened pictures.
function doubtOf(found) {
  const places = Object.entries(found?.doubts ?? {}).map(([key, doubt]) => {
    const place = found.keys.indexOf(key);
    return `${place < 0 ? "The anchor" : `Drawing ${place + 1}`} ${doubt}.`;
  });
  return places.join(" ");
}

function element(tag, kind, text) {
  const made = document.createElement(tag);
  made.className = kind;
  made.textContent = text;
  return made;
}

function large(one, said, truth) {
  if (!said) return [];
  if (said.refused) return [element("p", "refusal", refusal(one, filled().length))];
  const parts = [element("p", "large", headline(one, said.answer)), element("p", "detail", detail(one, said))];
  if (truth !== null) {
    const right = headline(one, said.answer) === truth;
    const words = `${right ? "Right" : "Wrong"}: the labels say ${truth.toLowerCase()}.`;
    parts.push(element("p", right ? "truth right" : "truth wrong", words));
  }
  if (inVain(one, said)) parts.push(element("p", "remark", VAIN));
  return parts;
}

// What the labels of test images say, in the words of `headline`; null where a digit was drawn.
const truthOf = (one, said) => (said?.truth == null ? null : headline(one, said.truth));

function chartOf(one, said, wide) {
  if (one.kind === "binary") return chance(said.answer, wide, `${headline(one, said.answer)}, ${certain(said.certainty)}`);
  const { distribution: chances, interval } = said;
  if (chances) return distribution(chances, interval, wide, `Distribution: ${detail(one, said)}`);
  return number(said.answer, wide, `The number that the model gives: ${said.answer.toFixed(2)}`);
}

function sentence(one, said, truth) {
  if (said.refused) return refusal(one, filled().length);
  const labels = truth === null ? "" : ` The labels say ${truth.toLowerCase()}.`;
  return `${named(one, modelsOfTask())}: ${headline(one, said.answer)}. ${detail(one, said)}.${labels}`;
}

function tell(place, text) {
  if (text === told) return;
  clearTimeout(telling);
  if (!text) told = place.textContent = text; // what was said is over
  telling = setTimeout(() => {
    told = text;
    place.textContent = text;
  }, QUIET);
}

// One card a model, of which one is chosen.
export function showModels(fieldset, now) {
  const found = now.answers?.task === now.task ? now.answers : null;
  fieldset.hidden = modelsOfTask().length < 2;
  choices(fieldset, modelsOfTask(), now, {
    name: "model",
    chosen: (one) => one.name === now.choice[now.task],
    choose: (one) => set({ choice: { ...get().choice, [one.task]: one.name }, head: null }),
    value: (one) => one.name,
    text: (one) => named(one, modelsOfTask()),
  });
  for (const one of modelsOfTask()) {
    const card = fieldset.querySelector(`[value="${CSS.escape(one.name)}"]`).parentElement;
    const said = found?.said[one.name];
    const truth = truthOf(one, said);
    let note = card.querySelector(".note");
    if (!note) card.append((note = element("span", "note", "")), element("span", "sure", ""));
    card.querySelector(".sure").textContent = said?.certainty == null ? "" : certain(said.certainty);
    note.textContent = brief(one, said);
    note.classList.toggle("none", !said || Boolean(said.refused));
    note.classList.toggle("right", truth !== null && headline(one, said.answer) === truth);
    note.classList.toggle("wrong", truth !== null && headline(one, said.answer) !== truth);
  }
}

// Radio buttons for some values; made anew only when the values change.
export function choices(fieldset, values, now, how) {
  const names = values.map(how.value).join(" ");
  if (fieldset.dataset.values !== names) {
    fieldset.dataset.values = names;
    for (const old of fieldset.querySelectorAll("label")) old.remove();
    for (const value of values) fieldset.append(choice(value, how));
  }
  for (const value of values) {
    const input = fieldset.querySelector(`[value="${CSS.escape(how.value(value))}"]`);
    input.checked = how.chosen(value, now);
  }
}

function choice(value, how) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: how.name, value: how.value(value) });
  input.addEventListener("change", () => how.choose(value));
  label.append(input, element("span", "name", how.text(value)));
  return label;
}
