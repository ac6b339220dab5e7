/**
 * The dashboard: how many tasks there are, what happens, what failed, and what the service stands on.
 *
 * The stream says when something has changed, and shows it in the list of tasks at once; counts and
 * dead letters come from read models, which follow within moments. Everything from outside is shown as
 * text, never as markup.
 */
(function () {
  "use strict";

  const WORDS = {
    zh: {
      title: "语音合成 · 控制台", other: "English", tryIt: "体验", docs: "文档", counts: "任务数量",
      keyTitle: "需要 API 密钥", keyHint: "dashboard 密钥可查看全部，admin 密钥还可重试与忽略。密钥只保存在本标签页。",
      useKey: "使用", letters: "死信", noLetters: "没有死信，一切正常。", more: "更多", recent: "最近任务",
      noTasks: "还没有任务。", status: "状态", task: "任务", template: "模板", attempt: "尝试", what: "说明",
      changed: "更新于", parts: "组件", system: "系统", gate: "Replicate 闸门",
      gateState: { closed: "放行", open: "暂停", "half-open": "试探中" }, inFlight: "进行中", waiting: "等待中", perMinute: "每分钟上限", failures: "连续失败", reason: "原因（写入日志）",
      cancel: "取消", retry: "重试", dismiss: "忽略", retryAll: "全部重试 {}", dismissAll: "全部忽略 {}",
      askRetry: "重试 {} 条死信？", askDismiss: "忽略 {} 条死信？", all: "全部", healthy: "正常", unhealthy: "异常",
      version: "版本", deployment: "部署", store: "存储", queue: "队列", audio: "音频", uptime: "运行时间",
      position: "日志位置", streams: "实时连接", permanent: "重试无用", attempts: "{} 次尝试", paid: "{} 次预测",
      characters: "{} 字", until: "直到", why: "原因", working: "已处理 {}，剩余 {}", done: "已处理 {}，跳过 {}",
      fromHere: "在控制台上操作", dismissed: "已忽略", erased: "（已删除）", noRights: "此密钥无权查看",
      groups: { waiting: "等待中", working: "进行中", succeeded: "成功", failed: "失败", canceled: "已取消" },
      state: { closed: "未连接", connecting: "连接中…", open: "实时", reconnecting: "重新连接中…" },
      statuses: {
        starting: "已接受", queued: "排队中", dequeued: "已取出", processing: "处理中",
        prediction_created: "生成中", downloading: "下载中", download_complete: "下载完成",
        succeeded: "成功", waiting_retry: "等待重试", retrying: "重试中", failed: "失败",
        canceling: "取消中", canceled: "已取消",
      },
    },
    en: {
      title: "Text to speech", other: "中文", tryIt: "Try it", docs: "Docs", counts: "Tasks by status",
      keyTitle: "An API key is needed", keyHint: "A dashboard key sees everything, an admin key may retry and dismiss, too. It stays in this tab.",
      useKey: "Use", letters: "Dead letters", noLetters: "No dead letters: all is well.", more: "More", recent: "Recent tasks",
      noTasks: "No tasks yet.", status: "Status", task: "Task", template: "Template", attempt: "Attempt", what: "What",
      changed: "Changed", parts: "Parts", system: "System", gate: "Gate to Replicate",
      gateState: { closed: "flowing", open: "paused", "half-open": "probing" }, inFlight: "In flight", waiting: "Waiting here", perMinute: "Allowed a minute", failures: "Failures in a row", reason: "Reason (kept in the log)",
      cancel: "Cancel", retry: "Retry", dismiss: "Dismiss", retryAll: "Retry all {}", dismissAll: "Dismiss all {}",
      askRetry: "Retry {} dead letters?", askDismiss: "Dismiss {} dead letters?", all: "All", healthy: "healthy", unhealthy: "unhealthy",
      version: "Version", deployment: "Deployment", store: "Store", queue: "Queue", audio: "Audio", uptime: "Up for",
      position: "Log position", streams: "Open streams", permanent: "no repetition can help", attempts: "attempts: {}", paid: "predictions: {}",
      characters: "characters: {}", until: "Until", why: "Reason", working: "{} done, {} to go", done: "{} done, {} skipped",
      fromHere: "from the dashboard", dismissed: "Dismissed", erased: "(erased)", noRights: "not for this key",
      groups: { waiting: "Waiting", working: "In progress", succeeded: "Succeeded", failed: "Failed", canceled: "Canceled" },
      state: { closed: "Disconnected", connecting: "Connecting…", open: "Live", reconnecting: "Reconnecting…" },
      statuses: {
        starting: "Accepted", queued: "Queued", dequeued: "Taken up", processing: "Processing",
        prediction_created: "Generating", downloading: "Downloading", download_complete: "Downloaded",
        succeeded: "Succeeded", waiting_retry: "Waiting to retry", retrying: "Retrying", failed: "Failed",
        canceling: "Canceling", canceled: "Canceled",
      },
    },
  };
  const GROUPS = {
    waiting: ["starting", "queued", "waiting_retry", "retrying"],
    working: ["dequeued", "processing", "prediction_created", "downloading", "download_complete", "canceling"],
    succeeded: ["succeeded"],
    failed: ["failed"],
    canceled: ["canceled"],
  };
  const TASKS = 25;
  const PAGE = 20;
  const SETTLE_MS = [150, 1500]; // after a change: soon, and once the read models must be there
  const SYSTEM_MS = 10_000;

  const $ = (id) => document.getElementById(id);
  const tasks = new Map();
  const opened = new Map(); // task id → details of a letter that is unfolded
  let language = localStorage.getItem("tts-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  let key = sessionStorage.getItem("tts-dashboard-key") ?? undefined;
  let code; // the error code that is looked at
  let shown = PAGE;
  let page = { deadLetters: [], counts: {}, total: 0, nextCursor: null };
  let counts;
  let system;
  let health;
  let client;

  const words = () => WORDS[language];
  const say = (name, ...values) => values.reduce((text, value) => text.replace("{}", value), words()[name]);
  const number = (value) => new Intl.NumberFormat(language).format(value);
  const clock = (time) => new Date(time).toLocaleTimeString("en-GB");
  const moment = (time) =>
    new Date(time).toDateString() === new Date().toDateString() ? clock(time) : new Date(time).toLocaleString(language);

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function fact(name, value) {
    const line = element("div");
    line.append(element("dt", "", name), element("dd", "", value));
    return line;
  }

  // --- asking the service

  class Refused extends Error {}

  async function api(method, path, body) {
    const headers = {};
    if (key) headers.Authorization = `Bearer ${key}`;
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(new URL(path, document.baseURI), {
      method, headers, body: body && JSON.stringify(body), cache: "no-store",
    });
    const told = await answer.json();
    if (answer.ok || told.data) return told.data;
    const refused = new Refused(told.error);
    refused.status = answer.status;
    if (answer.status === 401) askForKey();
    throw refused;
  }

  function askForKey() {
    $("key-form").hidden = false;
    if (document.activeElement === document.body) $("key").focus();
  }

  function report(error) {
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }

  /** Runs `work` for the last of many calls: never twice at once, and once more if asked meanwhile. */
  function lately(work) {
    let running = false;
    let again = false;
    const run = async () => {
      if (running) {
        again = true;
        return;
      }
      running = true;
      try {
        await work();
      } catch (error) {
        if (error.status !== 401 && error.status !== 403) report(error);
      }
      running = false;
      if (again) {
        again = false;
        setTimeout(run, SETTLE_MS[0]);
      }
    };
    let timers = [];
    return () => {
      const [soon, late] = timers;
      // The first stands, so that a steady flow of changes does not put it off for ever.
      timers = [soon ?? setTimeout(() => { timers[0] = undefined; run(); }, SETTLE_MS[0])];
      clearTimeout(late);
      timers[1] = setTimeout(run, SETTLE_MS[1]);
    };
  }

  const refreshCounts = lately(async () => {
    counts = (await api("GET", "api/stats")).tasks;
    showCounts();
  });

  const refreshLetters = lately(async () => {
    const query = new URLSearchParams({ limit: Math.min(shown, 200) });
    const all = await api("GET", `api/dead-letters?${query}`);
    if (code && !(code in all.counts)) code = undefined;
    if (code) query.set("code", code);
    page = code ? { ...(await api("GET", `api/dead-letters?${query}`)), counts: all.counts, all: all.total } : { ...all, all: all.total };
    showLetters();
  });

  async function refreshSystem() {
    const told = await Promise.allSettled([api("GET", "health"), api("GET", "system")]);
    health = told[0].value;
    if (told[1].value) system = told[1].value;
    showSystem();
  }

  async function refreshTasks() {
    for (const task of (await api("GET", `api/tts/tasks?limit=${TASKS}`)).tasks.reverse()) {
      take({ ...task, timestamp: task.updatedAt });
    }
    showTasks();
  }

  // --- showing

  function showCounts() {
    const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
    const groups = Object.entries(GROUPS).map(([group, statuses]) => [group, statuses.reduce((sum, status) => sum + counts[status], 0)]);
    $("totals").replaceChildren(
      ...groups.map(([group, count]) => {
        const tile = fact(words().groups[group], number(count));
        tile.dataset.group = group;
        return tile;
      }),
    );
    $("flow").replaceChildren(
      ...groups.filter(([, count]) => count).map(([group, count]) => {
        const part = element("span");
        part.dataset.group = group;
        part.style.setProperty("--share", total ? count / total : 0);
        return part;
      }),
    );
    $("statuses").replaceChildren(
      ...Object.entries(counts).map(([status, count]) => {
        const item = element("li", "", `${words().statuses[status] ?? status} `);
        item.append(element("b", "", number(count)));
        item.dataset.status = status;
        return item;
      }),
    );
  }

  function showLetters() {
    $("letters-total").textContent = number(page.all ?? page.total);
    $("no-letters").hidden = page.total > 0;
    $("bulk").hidden = $("codes").hidden = !page.total;
    $("retry-all").textContent = say("retryAll", code ?? number(page.total));
    $("dismiss-all").textContent = say("dismissAll", code ?? number(page.total));
    const chip = (name, label) => {
      const made = element("button", "", label);
      made.type = "button";
      made.setAttribute("aria-pressed", String(code === name));
      made.addEventListener("click", () => {
        code = name;
        shown = PAGE;
        refreshLetters();
      });
      return made;
    };
    $("codes").replaceChildren(
      chip(undefined, say("all")),
      ...Object.entries(page.counts).map(([name, count]) => chip(name, `${name} · ${number(count)}`)),
    );
    const known = new Map([...$("letters").children].map((item) => [item.dataset.taskId, item]));
    const items = page.deadLetters.map((letter) => fill(known.get(letter.taskId) ?? addLetter(letter.taskId), letter));
    const there = $("letters").children;
    // Taken out and put back, a button would lose its focus, and the click that is being made on it.
    if (items.length !== there.length || items.some((item, n) => item !== there[n])) $("letters").replaceChildren(...items);
    $("more").hidden = !page.nextCursor || shown >= 200;
  }

  function addLetter(taskId) {
    const item = $("letter").content.firstElementChild.cloneNode(true);
    item.dataset.taskId = taskId;
    const open = item.querySelector(".open");
    for (const what of ["retry", "dismiss"]) {
      const button = item.querySelector(`.${what}`);
      button.addEventListener("click", () => work(button, what, { taskIds: [taskId] }, say("fromHere")));
    }
    open.addEventListener("click", async () => {
      if (opened.delete(taskId)) return showDetails(item);
      try {
        opened.set(taskId, await api("GET", `api/dead-letters/${encodeURIComponent(taskId)}`));
      } catch (error) {
        report(error);
      }
      return showDetails(item);
    });
    return item;
  }

  function fill(item, letter) {
    const part = (selector) => item.querySelector(selector);
    item.dataset.permanent = letter.permanent;
    item.dataset.code = letter.code;
    part(".badge").textContent = letter.code;
    part(".said").textContent = letter.error;
    const facts = [
      moment(letter.failedAt), letter.step, letter.templateId, say("attempts", letter.attempts),
      say("paid", letter.predictions), say("characters", letter.textLength), letter.permanent && say("permanent"), letter.owner,
    ];
    part(".meta").textContent = facts.filter(Boolean).join(" · ");
    part(".retry").textContent = say("retry");
    part(".dismiss").textContent = say("dismiss");
    showDetails(item);
    return item;
  }

  function showDetails(item) {
    const letter = opened.get(item.dataset.taskId);
    const details = item.querySelector(".details");
    details.hidden = !letter;
    item.querySelector(".open").setAttribute("aria-expanded", String(!!letter));
    if (!letter) return;
    const story = element("ol");
    for (const event of letter.events) {
      const line = element("li");
      const status = event.dismissed ? say("dismissed") : (words().statuses[event.status] ?? event.status);
      const note = [event.predictionId, event.error, event.by && `${event.by}: ${event.reason ?? ""}`].filter(Boolean);
      line.append(element("time", "", clock(event.timestamp)), element("span", "", status), element("span", "", note.join(" · ")));
      story.append(line);
    }
    details.replaceChildren(element("p", "", letter.ttsText ?? say("erased")), story, element("code", "", letter.taskId));
  }

  function take(update) {
    const known = tasks.get(update.taskId) ?? {};
    if (update.position <= known.position) return;
    tasks.delete(update.taskId); // to stand at the end, which is the top of the list
    // What belongs to the status before does not belong to this one.
    const { templateId, attempt } = known;
    tasks.set(update.taskId, { templateId, attempt, ...update });
    if (tasks.size > TASKS) tasks.delete(tasks.keys().next().value);
  }

  let drawing = false;
  function showTasks() {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      $("no-tasks").hidden = tasks.size > 0;
      $("recent").hidden = tasks.size === 0;
      $("recent").tBodies[0].replaceChildren(...[...tasks.values()].reverse().map(row));
    });
  }

  function row(task) {
    const line = element("tr");
    line.dataset.taskId = task.taskId;
    line.dataset.status = task.status;
    const cell = (className, ...content) => {
      const made = element("td", className);
      made.append(...content.map((part) => part ?? ""));
      line.append(made);
    };
    const time = element("time", "", moment(task.timestamp));
    time.dateTime = task.timestamp;
    const what = [
      task.dismissed && say("dismissed"), task.code, task.duration && `${task.duration.toFixed(1)} s`,
      task.by && `${task.by}: ${task.reason ?? ""}`,
    ];
    cell("", element("span", "badge", words().statuses[task.status] ?? task.status));
    cell("", element("code", "", `…${task.taskId.slice(-12)}`));
    cell("", task.templateId);
    cell("number", task.attempt ?? 1);
    cell("what", what.filter(Boolean).join(" · "));
    cell("", time);
    return line;
  }

  function lasted(seconds) {
    const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    const at = parts.findIndex(([, size]) => seconds >= size);
    let left = Math.floor(seconds);
    return (at < 0 ? [["s", 1]] : parts.slice(at, at + 2)).map(([unit, size]) => {
      const count = Math.floor(left / size);
      left -= count * size;
      return `${count} ${unit}`;
    }).join(" ");
  }

  function badge(id, text, tone) {
    $(id).textContent = text;
    $(id).dataset.tone = tone;
  }

  function showSystem() {
    if (health) {
      badge("health", say(health.status === "ok" ? "healthy" : "unhealthy"), health.status === "ok" ? "good" : "bad");
      $("parts").replaceChildren(
        ...Object.entries(health.parts).map(([name, state]) => {
          const item = element("li", "", "");
          item.dataset.ok = state === "ok";
          item.append(document.createTextNode(words()[name] ?? name), element("span", "", state));
          return item;
        }),
      );
    } else badge("health", say("unhealthy"), "bad");
    if (!system) {
      $("system").replaceChildren(fact(say("noRights"), ""));
      return;
    }
    const { kind, store, queue, audio } = system.deployment;
    $("system").replaceChildren(
      fact(say("version"), system.version), fact(say("deployment"), kind), fact(say("store"), store), fact(say("queue"), queue),
      fact(say("audio"), audio), fact(say("uptime"), lasted(system.uptimeSeconds)), fact(say("position"), number(system.position)),
      fact(say("streams"), number(system.streams)),
    );
    const { gate } = system;
    $("gate").hidden = !gate;
    if (!gate) return;
    badge("gate-state", words().gateState[gate.state], { closed: "good", open: "bad" }[gate.state] ?? "wait");
    const { limits, reason } = gate;
    const of = (count, limit) => (limit === null ? number(count) : `${number(count)} / ${number(limit)}`);
    const facts = [
      reason && fact(say("why"), `${reason.message} (${reason.code})`),
      gate.until && fact(say("until"), moment(gate.until)),
      fact(say("inFlight"), of(gate.inFlight, limits.inFlight)),
      fact(say("waiting"), number(gate.waiting)),
      gate.createsPerMinute !== null && fact(say("perMinute"), of(Math.round(gate.createsPerMinute), limits.createsPerMinute)),
      gate.failures > 0 && fact(say("failures"), number(gate.failures)),
    ];
    $("gate-facts").replaceChildren(...facts.filter(Boolean));
  }

  function showConnection() {
    $("connection").dataset.state = client?.state ?? "closed";
    $("connection-text").textContent = words().state[client?.state ?? "closed"];
  }

  function translate() {
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = words().title;
    for (const said of document.querySelectorAll("[data-say]")) said.textContent = words()[said.dataset.say];
    $("language").textContent = words().other;
    $("language").lang = language === "zh" ? "en" : "zh-CN";
    if (counts) showCounts();
    showLetters();
    showTasks();
    showSystem();
    showConnection();
  }

  // --- doing

  /** The service does as much as one request has time for; `next` says where to go on. */
  async function work(button, what, chosen, reason) {
    const [order, done] = what === "retry" ? ["redrive", "redriven"] : ["dismiss", "dismissed"];
    $("problem").hidden = true;
    button.disabled = true;
    const sum = { done: 0, skipped: 0 };
    try {
      let cursor;
      do {
        const answer = await api("POST", `api/dead-letters/${order}`, { ...chosen, reason, cursor });
        sum.done += answer[done];
        sum.skipped += answer.skipped;
        cursor = answer.next ?? undefined;
        $("progress").textContent = cursor ? say("working", number(sum.done), number(answer.remaining)) : say("done", number(sum.done), number(sum.skipped));
        $("progress").hidden = false;
      } while (cursor);
    } catch (error) {
      report(error);
    } finally {
      button.disabled = false;
      refreshLetters();
      refreshCounts();
    }
  }

  let asked;
  function ask(what) {
    asked = what;
    $("ask-title").textContent = say(what === "retry" ? "askRetry" : "askDismiss", `${number(page.total)}${code ? ` · ${code}` : ""}`);
    $("ask-go").textContent = say(what);
    $("reason").value = "";
    $("ask").showModal();
  }

  for (const what of ["retry", "dismiss"]) $(`${what}-all`).addEventListener("click", () => ask(what));
  $("ask-cancel").addEventListener("click", () => $("ask").close());
  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("ask").close();
    // Only what failed up to now: what fails while it is asked for was not seen by anybody.
    const filter = { code, until: new Date().toISOString() };
    work($(`${asked}-all`), asked, { filter }, $("reason").value);
  });
  $("more").addEventListener("click", () => {
    shown += PAGE;
    refreshLetters();
  });
  $("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    localStorage.setItem("tts-language", language);
    translate();
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    key = $("key").value;
    sessionStorage.setItem("tts-dashboard-key", key);
    $("key-form").hidden = true;
    $("problem").hidden = true;
    start();
  });

  // --- the beginning

  const AFFECTS_LETTERS = new Set(["failed", "retrying"]);

  function start() {
    client?.close();
    client = new TTSEventClient({ baseUrl: new URL(".", document.baseURI).href, apiKey: key });
    client.addEventListener("task_update", (update) => {
      take(update);
      showTasks();
      refreshCounts();
      if (AFFECTS_LETTERS.has(update.status) || update.erased) refreshLetters();
    });
    for (const type of ["connected", "reconnecting", "error", "close"]) client.addEventListener(type, showConnection);
    // What the stream could not tell, because it was not there or not open yet, is read.
    for (const type of ["connected", "reset"]) client.addEventListener(type, everything);
    client.connect().catch((error) => {
      showConnection();
      if (error.status === 401) askForKey();
      else if (error.code !== "closed") report(error);
    });
    showConnection();
    everything();
  }

  function everything() {
    refreshCounts();
    refreshLetters();
    refreshSystem();
    refreshTasks().catch((error) => error.status === 401 || report(error));
  }

  translate();
  start();
  setInterval(refreshSystem, SYSTEM_MS);
})();
