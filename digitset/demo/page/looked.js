// The tile that is looked at: what the model gets of it, what it makes of it, and what can be done with it.

import { digits } from "./chart.js";
import { grey } from "./ink.js";
import { MAPS, colour, show } from "./maps.js";
import { clear, filled, find, get, isOpen, makeAnchor, model, move, remove, set } from "./state.js";
import { about, ink, misread } from "./tiles.js";
import { capital, percent } from "./words.js";

const ACTIONS = [
  ["draw", "Draw here", (key) => set({ open: get().open === key ? null : key })],
  ["earlier", "← Earlier", (key) => move(key, at(key) - 1)],
  ["later", "Later →", (key) => move(key, at(key) + 1)],
  ["anchor", "Use as anchor", makeAnchor],
  ["clear", "Clear", clear],
  ["remove", "Remove", remove],
];

const at = (key) => get().tiles.findIndex((one) => one.key === key);

export function prepare(section) {
  section.innerHTML = `
    <canvas class="seen" width="28" height="28" role="img" aria-label="The image that the model gets, 28 by 28">
    </canvas>
    <div class="says"><p class="who"></p><p class="what"></p></div><div class="chances"></div>
    <div class="tools" role="group" aria-label="The chosen digit"></div>
    <div class="maps" role="group" aria-label="Where the model looks on the digit" hidden></div>`;
  for (const [name, text, action] of ACTIONS) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", textContent: text });
    button.dataset.act = name;
    button.addEventListener("click", () => find(get().chosen)?.pixels && action(get().chosen));
    section.querySelector(".tools").append(button);
  }
}

function showMaps(place, tile, maps, now) {
  place.hidden = !maps;
  if (!maps) return;
  if (!place.children.length) place.append(...Object.keys(MAPS).map(mapButton), heads());
  for (const button of place.querySelectorAll("button")) {
    const name = button.dataset.map;
    button.setAttribute("aria-pressed", String(now.map === name));
    over(button, tile, maps[name]);
  }
  const strip = place.querySelector(".strip");
  while (strip.children.length < maps.heads.length) strip.append(layers("span"));
  while (strip.children.length > maps.heads.length) strip.lastChild.remove();
  maps.heads.forEach((head, index) => over(strip.children[index], tile, head));
}

function mapButton(name) {
  const button = layers("button");
  Object.assign(button, { type: "button", title: "Show it on all digits" });
  button.dataset.map = name;
  button.append(MAPS[name]);
  button.addEventListener("click", () => show(name));
  return button;
}

function heads() {
  const figure = document.createElement("div");
  figure.innerHTML = '<span class="strip" role="img" aria-label="What each head takes"></span>each head';
  return figure;
}

// An image with a map over it.
function layers(tag) {
  const element = document.createElement(tag);
  element.innerHTML = `<span class="layers"><canvas width="28" height="28"></canvas><canvas></canvas></span>`;
  return element;
}

function over(element, tile, map) {
  const [image, colours] = element.querySelectorAll("canvas");
  grey(image, tile.pixels, ink());
  colour(colours, map);
}

export function showLooked(section, now) {
  const tile = [find(now.pointed), find(now.chosen)].find((one) => one?.pixels);
  const some = Boolean(tile?.pixels);
  section.classList.toggle("none", !some);
  grey(section.querySelector(".seen"), tile?.pixels ?? new Uint8Array(784), "#ffffff");
  const isAnchor = tile?.key === now.anchor?.key;
  const said = some ? about(tile.key, now) : {};
  section.querySelector(".who").textContent = some ? nameOf(tile, isAnchor) : "No tile is chosen";
  const advice = "Choose one to see what the model gets of it.";
  section.querySelector(".what").textContent = some ? words(said, isAnchor) : advice;
  const bars = said.digits ? [digits(said.digits, "The probability of each digit")] : [];
  section.querySelector(".chances").replaceChildren(...bars);
  showMaps(section.querySelector(".maps"), tile, said.maps, now);
  section.classList.toggle("other", some && tile.key !== now.chosen); // what can be done is for the chosen one only
  enable(section, find(now.chosen));
}

function nameOf(tile, isAnchor) {
  const name = isAnchor ? "The anchor" : `Digit ${at(tile.key) + 1} of ${filled().length}`;
  return tile.label === null ? name : `${name}, a test image of ${tile.label}`;
}

function words(said, isAnchor) {
  if (isAnchor || said.reading === undefined) return "This is what the model gets of it.";
  const parts = [`${capital(said.alone)}${said.sure ? `, ${said.sure}` : ""}.`];
  if (misread(said)) parts.push(`Wrong: the labels say ${said.right}.`);
  if (said.effect) parts.push(`${said.effect}.`);
  if (said.attention !== null) parts.push(`Attention ${percent(said.attention)}.`);
  return parts.join(" ");
}

function enable(section, tile) {
  const place = tile ? at(tile.key) : -1;
  const filledTile = Boolean(tile?.pixels);
  const can = {
    draw: filledTile,
    earlier: filledTile && place > 0,
    later: filledTile && place >= 0 && place < filled().length - 1,
    anchor: filledTile && place >= 0,
    clear: filledTile,
    remove: filledTile && place >= 0,
  };
  for (const button of section.querySelectorAll("[data-act]")) {
    const name = button.dataset.act;
    button.hidden = name === "anchor" && !model().anchored;
    if (name === "draw") button.setAttribute("aria-pressed", String(filledTile && isOpen(tile)));
    button.setAttribute("aria-disabled", String(!can[name])); // a disabled one would lose the focus
  }
}
