/** A small picture of one number over time: a bar for each span, and the same in words. */

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 28;
const STEP = 5; // of which the bar takes all but one
let pictures = 0;

/** `bars` are `{ name, value, text }` in order, a value of null for none; `title` and `text` are read out. */
export function sparkline(bars, title, text) {
  const picture = node("svg", { viewBox: `0 0 ${bars.length * STEP} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
  const id = `sparkline-${(pictures += 1)}`;
  picture.setAttribute("aria-labelledby", `${id}-title ${id}-text`);
  picture.append(node("title", { id: `${id}-title` }, title), node("desc", { id: `${id}-text` }, text));
  const highest = Math.max(...bars.map(({ value }) => value ?? 0)) || 1;
  bars.forEach((bar, n) => {
    // What is little is seen, too: it is not nothing.
    const height = bar.value ? Math.max(2, (HEIGHT * bar.value) / highest) : 0.75;
    const rect = node("rect", { x: n * STEP, y: HEIGHT - height, width: STEP - 1, height });
    rect.append(node("title", {}, `${bar.name}: ${bar.text}`));
    if (!bar.value) rect.setAttribute("class", "nothing");
    picture.append(rect);
  });
  return picture;
}

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
  if (text !== undefined) element.textContent = text;
  return element;
}
