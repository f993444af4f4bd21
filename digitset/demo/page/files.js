// Files that a person opens: pictures, each of one digit or of several, and what this page saved.

import { normalise, split } from "./api.js";
import { restore } from "./saved.js";
import { MOST, add, filled, get, remember, set, setTiles } from "./state.js";

// Opens all files; then says of what could not be read, or had no room, why.
export async function openFiles(files) {
  const problems = [];
  set({ note: null, problem: null });
  for (const file of files) {
    try {
      if (/\.json$/i.test(file.name)) openSaved(await file.text());
      else await openPicture(file);
    } catch (error) {
      problems.push(`${file.name}: ${error.message}`);
    }
  }
  if (problems.length) set({ problem: new Error(problems.join(" ")) });
}

function openSaved(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("expected digits that this page saved, and got no JSON");
  }
  restore(value, remember);
}

async function openPicture(file) {
  const { found, notes, how } = await split(file);
  const room = MOST - filled().length;
  if (found.length > room) {
    throw new Error(`there are ${found.length} digits on it, and room for ${room} more. Remove some.`);
  }
  const keys = add(found.map(({ pixels }) => ({ pixels })));
  if (found.length > 1 || how) set({ note: noteOf(file, how, keys) });
  const doubts = found.length > 1 || notes.length ? notes : [found[0].doubt].filter(Boolean);
  if (doubts.length) throw new Error(doubts.join("; "));
}

function noteOf(file, how, keys) {
  if (keys.length === 1) return { text: `${file.name} was taken for a digit. ${how}` };
  const text = [`${file.name} was taken for ${keys.length} digits.`, how].filter(Boolean).join(" ");
  return { text, action: "Take it for one", act: () => takeForOne(file, keys) };
}

async function takeForOne(file, keys) {
  const { pixels, doubt } = await normalise(file);
  set({ note: null, problem: doubt && new Error(`${file.name}: ${doubt}`) });
  const { tiles } = get();
  const place = tiles.findIndex((one) => keys.includes(one.key));
  if (place < 0) return add([{ pixels }]);
  remember();
  const rest = tiles.filter((one, index) => index === place || !keys.includes(one.key));
  setTiles(rest.map((one, index) => (index === place ? { ...one, pixels, strokes: [], label: null } : one)));
}
