// Small charts as SVG: a distribution as bars with its interval, a chance as a bar, a number on its line.

const SVG = "http://www.w3.org/2000/svg";
const HIGH = 120;

function make(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function canvas(label, wide, height) {
  return make("svg", { viewBox: `0 0 ${wide} ${height}`, role: "img", "aria-label": label });
}

// The answers that hold all but a thousandth of a distribution, at least `least` of them.
function window(chances, least) {
  let [low, high] = [0, chances.length - 1];
  let [below, above] = [0, 0];
  while (low < high && below + chances[low] < 5e-4) below += chances[low++];
  while (high > low && above + chances[high] < 5e-4) above += chances[high--];
  while (high - low + 1 < Math.min(least, chances.length)) {
    if (low > 0) low -= 1;
    if (high < chances.length - 1 && high - low + 1 < least) high += 1;
  }
  return [low, high];
}

export function distribution(chances, interval, wide, label) {
  const [low, high] = window(chances, 11);
  const svg = canvas(label, wide, HIGH + 40);
  const step = wide / (high - low + 1);
  const most = Math.max(...chances);
  const best = chances.indexOf(most);
  for (let value = low; value <= high; value += 1) {
    const height = Math.max(1, (HIGH * chances[value]) / most);
    const within = interval ? value >= interval[0] && value <= interval[1] : value === best;
    const kind = value === best ? "best" : within ? "within" : "without";
    const width = Math.min(26, step * 0.75);
    const [x, y, rx] = [(value - low + 0.5) * step - width / 2, HIGH - height + 2, Math.min(2, width / 6)];
    svg.append(make("rect", { x, y, width, height, rx, class: kind }));
  }
  const middle = (value) => (value - low + 0.5) * step;
  const every = Math.ceil((9 * String(high).length + 8) / step); // as many as have room
  for (let value = low; value <= high; value += 1) {
    const told = value === best || ((value - low) % every === 0 && Math.abs(value - best) >= every);
    const kind = value === best ? "best" : "";
    if (told) svg.append(make("text", { x: middle(value), y: HIGH + 19, class: kind }, value));
  }
  if (interval) {
    const [left, right] = [middle(interval[0]) - step / 2, middle(interval[1]) + step / 2];
    svg.append(make("path", { d: `M${left + 1} ${HIGH + 27}v5H${right - 1}v-5`, class: "bracket" }));
  }
  return svg;
}

// Where between no and yes an answer stands.
export function chance(value, wide, label) {
  const svg = canvas(label, wide, 66);
  const [left, right, y] = [6, wide - 6, 24];
  svg.append(make("path", { d: `M${left} ${y}H${right}`, class: "scale" }));
  for (const [at, text, kind] of [[0, "No", "first"], [0.5, "even", ""], [1, "Yes", "last"]]) {
    const x = left + at * (right - left);
    svg.append(make("path", { d: `M${x} ${y - 5}v10`, class: "scale" }));
    svg.append(make("text", { x, y: y + 28, class: kind }, text));
  }
  svg.append(make("circle", { cx: left + value * (right - left), cy: y, r: 6, class: "best" }));
  return svg;
}

// A number between the whole ones around it.
export function number(value, wide, label) {
  const svg = canvas(label, wide, 66);
  const first = Math.round(value) - 3;
  const [left, step, y] = [20, (wide - 40) / 6, 24];
  svg.append(make("path", { d: `M${left} ${y}H${wide - left}`, class: "scale" }));
  for (let place = 0; place <= 6; place += 1) {
    const x = left + place * step;
    const kind = place === 3 ? "best" : "";
    svg.append(make("path", { d: `M${x} ${y - 5}v10`, class: "scale" }));
    svg.append(make("text", { x, y: y + 28, class: kind }, String(first + place).replace("-", "−")));
  }
  svg.append(make("circle", { cx: left + (value - first) * step, cy: y, r: 6, class: "best" }));
  return svg;
}

// The ten probabilities of one image's digit.
export function digits(chances, label) {
  const svg = make("svg", { viewBox: "0 0 200 54", role: "img", "aria-label": label });
  const best = chances.indexOf(Math.max(...chances));
  chances.forEach((chance, digit) => {
    const height = Math.max(0.75, 36 * chance);
    const kind = digit === best ? "best" : "without";
    svg.append(make("rect", { x: digit * 20 + 4, y: 37 - height, width: 12, height, class: kind, rx: 1 }));
    svg.append(make("text", { x: digit * 20 + 10, y: 52, class: digit === best ? "best" : "" }, digit));
  });
  return svg;
}
