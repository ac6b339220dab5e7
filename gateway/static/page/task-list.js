/** The tasks that are loaded, newest first: pages that were read one after another, and what the stream tells. */

const ROOM = 20_000; // tasks: a page that stays open for a week is told of more

export class TaskList {
  tasks = new Map(); // by id
  cursor; // where the next page starts; null if there is none, undefined before the first was read
  left = 0; // new tasks that there was no room for
  #order = []; // undefined: to be sorted

  /** The ids, newest first. */
  get order() {
    this.#order ??= [...this.tasks.values()].sort(compare).map(({ taskId }) => taskId);
    return this.#order;
  }

  clear() {
    this.tasks = new Map();
    this.cursor = undefined;
    this.left = 0;
    this.#order = undefined;
  }

  /** What was loaded may have changed unseen: it is `unsure` until it is told or read again. */
  doubt() {
    for (const [id, task] of this.tasks) this.tasks.set(id, { ...task, unsure: true });
  }

  /** The page of the newest: what is loaded, would stand in it and does not, is gone from there; `alone`: the rest, too. */
  takeFirst({ tasks, nextCursor, position }, alone = false) {
    const there = new Set(tasks.map(({ taskId }) => taskId));
    const isFollowed = !alone && this.cursor !== undefined && this.order.some((id) => there.has(id) && !this.tasks.get(id).unsure);
    const last = tasks.at(-1);
    const ends = last && nextCursor ? timed(last) : undefined;
    for (const id of this.order) {
      const task = this.tasks.get(id);
      // What the stream told is newer than the page; what lies behind the page is not in question.
      const isIn = there.has(id) || task.position > position || (isFollowed && ends && compare(task, ends) > 0);
      if (!isIn) this.tasks.delete(id);
    }
    this.#order = undefined;
    if (!isFollowed) this.left = 0;
    if (!isFollowed || !nextCursor) this.cursor = nextCursor;
    this.#take(tasks);
  }

  takeNext({ tasks, nextCursor }) {
    this.cursor = nextCursor;
    this.#take(tasks);
  }

  /** Whether the update is of a task that is loaded, or is new. */
  takeUpdate(update) {
    const known = this.tasks.get(update.taskId);
    if (!known && update.status !== "starting") return false;
    if (!known && this.tasks.size >= ROOM) {
      this.left += 1;
      return true;
    }
    this.#put({ createdAt: update.timestamp, ...known }, update);
    return true;
  }

  /** The ids behind that task, which may be none of these any more. */
  behind(task) {
    const at = this.order.findLastIndex((id) => compare(this.tasks.get(id), task) <= 0);
    return this.order.slice(at + 1);
  }

  #take(tasks) {
    for (const task of tasks) this.#put(this.tasks.get(task.taskId) ?? {}, { ...task, timestamp: task.updatedAt });
  }

  #put(known, news) {
    if (news.position < known.position) return; // the stream is ahead
    // What belongs to the status before does not belong to this one.
    const { templateId, attempt, createdAt } = known;
    this.tasks.set(news.taskId, timed({ templateId, attempt, createdAt, ...news }));
    this.#order = undefined;
  }
}

const timed = (task) => ({ ...task, at: Date.parse(task.createdAt) });

/** Negative if `one` is newer than `other`. */
function compare(one, other) {
  if (one.at !== other.at) return other.at - one.at;
  return one.taskId === other.taskId ? 0 : one.taskId < other.taskId ? 1 : -1;
}
