// Where an encoder looks on a digit, and what the answer to it rests on: colours over the image that the model gets.

import { get, set } from "./state.js";

export const MAPS = { looks: "where it looks", rests: "what it rests on" };
const LEAST_LOSS = 0.1; // full colour is at least this change of the loss, so that small ones stay pale
const STRONGEST = 0.75; // of a colour, so that the digit is seen through it

// {looks, rests, heads} of one image, each a grid of -1 to 1; null where an answer has none.
export function mapsOf(said, place) {
  if (!said.places) return null;
  const { heads, rollout, erased } = said.places;
  return {
    looks: scaled(rollout[place], 0),
    rests: scaled(erased[place], LEAST_LOSS),
    heads: heads[place].map((head) => scaled(head, 0)),
  };
}

function scaled(grid, least) {
  const most = Math.max(least, ...grid.flat().map(Math.abs));
  return grid.map((row) => row.map((value) => value / most));
}

// Makes the grid the picture of a canvas, a pixel a place: one colour for up to 1, another down to -1.
export function colour(canvas, grid) {
  const high = grid.length;
  const wide = grid[0].length;
  Object.assign(canvas, { width: wide, height: high });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  grid.flat().forEach((value, place) => {
    context.globalAlpha = STRONGEST * Math.abs(value);
    context.fillStyle = style.getPropertyValue(value < 0 ? "--cool" : "--accent").trim();
    context.fillRect(place % wide, Math.floor(place / wide), 1, 1);
  });
}

// One map over all digits, or none.
export const show = (name) => set({ map: get().map === name ? null : name });
