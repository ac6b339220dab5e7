/** The rows of a long list, of which only those in sight stand on the page; to be gone through by keyboard, too. */

const SPARE = 12; // rows above and below those in sight
const STEPS = { ArrowDown: 1, ArrowUp: -1 };

export class Rows {
  #frame; // what scrolls
  #table;
  #body;
  #make;
  #fill;
  #seen;
  #ids = [];
  #active; // the id of the row that the keyboard is on

  /** `make(id)` is a row whose first link is the way on, `fill(row, id)` writes into it; `seen(last)` is told of each drawing. */
  constructor(frame, table, { make, fill, seen }) {
    this.#frame = frame;
    this.#table = table;
    this.#body = table.tBodies[0];
    this.#make = make;
    this.#fill = fill;
    this.#seen = seen;
    table.tHead.rows[0].setAttribute("aria-rowindex", 1);
    frame.addEventListener("scroll", () => this.#draw(), { passive: true });
    frame.addEventListener("keydown", (event) => this.#press(event));
    this.#body.addEventListener("focusin", ({ target }) => (this.#active = target.closest("tr").dataset.taskId));
    new ResizeObserver(() => this.#draw()).observe(frame);
  }

  /** Whether somebody is at a row, who would be misled if another took its place. */
  get isHeld() {
    return this.#frame.scrollTop > 0 || this.#body.matches(":hover") || this.#frame.contains(document.activeElement);
  }

  /** `isWhole`: there are no others than these. */
  show(ids, isWhole) {
    this.#ids = ids;
    this.#table.setAttribute("aria-rowcount", isWhole ? ids.length + 1 : -1);
    this.#draw();
  }

  /** To the first row, with the focus. */
  start() {
    this.#frame.scrollTop = 0;
    this.#go(0);
  }

  get #height() {
    return this.#body.rows[0]?.getBoundingClientRect().height || 36;
  }

  #draw() {
    const [first, end] = this.#sight(SPARE);
    const ids = this.#ids.slice(first, end);
    const lines = new Map([...this.#body.rows].map((line) => [line.dataset.taskId, line]));
    const wanted = new Set(ids);
    for (const [id, line] of lines) if (!wanted.has(id)) this.#remove(line);
    // A row that stays is not touched: taken out and put back, it would lose the focus or a click.
    let next = this.#body.firstElementChild;
    ids.forEach((id, n) => {
      const line = lines.get(id) ?? this.#make(id);
      if (line === next) next = next.nextElementSibling;
      else this.#body.insertBefore(line, next);
      line.setAttribute("aria-rowindex", first + n + 2);
      this.#fill(line, id);
    });
    const height = this.#height;
    this.#table.style.setProperty("top", `${first * height}px`);
    this.#table.parentElement.style.setProperty("height", `${this.#ids.length * height + this.#table.tHead.offsetHeight}px`);
    this.#offerOne(ids, first);
    this.#seen(end);
  }

  /** The numbers of the rows in sight, and of so many more: the first, and the one behind the last. */
  #sight(spare) {
    const { scrollTop, clientHeight } = this.#frame;
    const height = this.#height;
    const first = Math.max(0, Math.min(Math.floor(scrollTop / height), this.#ids.length) - spare);
    return [first, Math.min(this.#ids.length, Math.ceil((scrollTop + (clientHeight || innerHeight)) / height) + spare)];
  }

  #remove(line) {
    const hadFocus = line.contains(document.activeElement);
    line.remove();
    if (hadFocus) this.#frame.focus({ preventScroll: true }); // the arrows go on from there
  }

  /** One row of all is reached by Tab, the others by arrows. */
  #offerOne(ids, first) {
    const offered = ids.includes(this.#active) ? this.#active : this.#ids[Math.max(first, this.#sight(0)[0])];
    for (const line of this.#body.rows) line.querySelector("a").tabIndex = line.dataset.taskId === offered ? 0 : -1;
  }

  #press(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || ctrlKey || metaKey || shiftKey || !this.#ids.length) return;
    const [first, end] = this.#sight(0);
    const screen = Math.max(1, end - first - 2);
    const at = this.#ids.indexOf(this.#active);
    const from = at < 0 ? first : at;
    const goals = { Home: 0, End: this.#ids.length - 1, PageDown: from + screen, PageUp: from - screen };
    const goal = key in STEPS ? from + STEPS[key] : goals[key];
    if (goal === undefined) return;
    event.preventDefault();
    this.#go(Math.max(0, Math.min(goal, this.#ids.length - 1)));
  }

  #go(goal) {
    const height = this.#height;
    const head = this.#table.tHead.offsetHeight;
    const { scrollTop, clientHeight } = this.#frame;
    if (goal * height < scrollTop) this.#frame.scrollTop = goal * height;
    else if (head + (goal + 1) * height > scrollTop + clientHeight) this.#frame.scrollTop = head + (goal + 1) * height - clientHeight;
    this.#active = this.#ids[goal];
    this.#draw();
    const line = this.#body.querySelector(`tr[aria-rowindex="${goal + 2}"]`);
    line?.querySelector("a").focus({ preventScroll: true });
    line?.scrollIntoView({ block: "nearest" }); // the frame itself may be out of sight
  }
}
