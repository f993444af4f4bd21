// The answer in large, its chart, and what each model says of the same digits.

import { chance, distribution, number } from "./chart.js";
import { filled, get, model, modelsOfTask, set } from "./state.js";
import { brief, detail, headline, invitation, percent, refusal, title } from "./words.js";

const QUIET = 700; // milliseconds without change, before a screen reader is told
let telling = 0;
let told = "";

export function showAnswer(places, now) {
  const one = model();
  const found = now.answers?.task === now.task ? now.answers : null;
  const said = found?.said[one.model];
  const text = invitation(one, filled().length, now.anchor?.pixels);
  const truth = found?.known ? truthOf(now, found, one) : null;
  places.answer.replaceChildren(...(text ? [element("p", "invitation", text)] : large(one, said, truth)));
  places.chart.replaceChildren(...(text || !said || said.refused ? [] : [chartOf(one, said, places.chart.clientWidth)]));
  places.problem.textContent = now.problem ?? found?.problem ?? "";
  places.problem.hidden = !places.problem.textContent;
  if (!text && said) tell(places.status, sentence(one, said, truth));
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
  const parts = [element("p", "large", headline(one, said)), element("p", "detail", detail(one, said))];
  if (truth !== null) {
    const right = headline(one, said) === truth;
    const words = `${right ? "Right" : "Wrong"}: the labels say ${truth.toLowerCase()}.`;
    parts.push(element("p", right ? "truth right" : "truth wrong", words));
  }
  return parts;
}

// What the labels of test images say, in the words of `headline`; null where a digit was drawn.
function truthOf(now, found, one) {
  const labels = found.keys.map((key) => now.tiles.find((tile) => tile.key === key)?.label ?? null);
  if (!labels.length || labels.includes(null)) return null;
  if (one.task === "sum") return String(labels.reduce((sum, label) => sum + label, 0));
  if (one.task === "contains") return labels.includes(now.anchor.label) ? "Yes" : "No";
  if (one.task === "classify") return String(labels[found.keys.indexOf(found.keyOfOne)]);
  return null;
}

function chartOf(one, said, wide) {
  if (one.kind === "yes or no") return chance(said.answer, wide, `Probability of yes: ${percent(said.answer)}`);
  if (said.distribution) return distribution(said.distribution, said.interval, wide, `Distribution: ${detail(one, said)}`);
  return number(said.answer, wide, `The number that the model gives: ${said.answer.toFixed(2)}`);
}

function sentence(one, said, truth) {
  if (said.refused) return refusal(one, filled().length);
  return `${title(one.model)}: ${headline(one, said)}. ${detail(one, said)}.${truth === null ? "" : ` The labels say ${truth.toLowerCase()}.`}`;
}

function tell(place, text) {
  if (text === told) return;
  clearTimeout(telling);
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
    chosen: (one) => one.model === now.choice[now.task],
    choose: (one) => set({ choice: { ...get().choice, [one.task]: one.model }, head: null }),
    value: (one) => one.name,
    text: (one) => title(one.model),
  });
  for (const one of modelsOfTask()) {
    const card = fieldset.querySelector(`[value="${CSS.escape(one.name)}"]`).parentElement;
    const said = found?.said[one.model];
    const truth = found?.known && said && !said.refused ? truthOf(now, found, one) : null;
    let note = card.querySelector(".note");
    if (!note) card.append((note = element("span", "note", "")));
    note.textContent = brief(one, said);
    note.classList.toggle("none", !said || Boolean(said.refused));
    note.classList.toggle("right", truth !== null && headline(one, said) === truth);
    note.classList.toggle("wrong", truth !== null && headline(one, said) !== truth);
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
  for (const value of values) fieldset.querySelector(`[value="${CSS.escape(how.value(value))}"]`).checked = how.chosen(value, now);
}

function choice(value, how) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: how.name, value: how.value(value) });
  input.addEventListener("change", () => how.choose(value));
  label.append(input, element("span", "name", how.text(value)));
  return label;
}
