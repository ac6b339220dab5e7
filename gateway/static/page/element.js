/** Elements of a page. What comes from outside is shown as text, never as markup. */

export const $ = (id) => document.getElementById(id);

export function element(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** A line of a list of facts. */
export function fact(name, value) {
  const line = element("div");
  line.append(element("dt", "", name), element("dd", "", value));
  return line;
}

/** The way to a task's own page. */
export function taskLink(taskId) {
  const link = element("a");
  link.href = `task.html?id=${encodeURIComponent(taskId)}`;
  link.append(element("code", "", `…${taskId.slice(-12)}`));
  return link;
}
