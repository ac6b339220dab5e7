/**
 * The example: what an app does with TTSEventClient, on one page.
 *
 * Everything that comes from outside is shown as text, never as markup. The tasks of this tab and
 * its position in the stream survive a reload, so that one can see that nothing is missed.
 */
(function () {
  "use strict";

  const WORDS = {
    zh: {
      title: "语音合成 · 实时状态", other: "English", compose: "生成语音", template: "模板（参考音色）",
      text: "文本", instruction: "语气指令（可选）", instructionHint: "例如：开心地", autoplay: "完成后自动播放",
      generate: "生成", stream: "实时连接", connect: "连接", disconnect: "断开", position: "位置",
      reconnections: "重连次数", heartbeat: "最近心跳", apiKey: "API 密钥（服务要求时填写）", useKey: "使用",
      streamHint: "断开后任务仍在继续；重新连接时，错过的状态会按顺序补上，不遗漏也不重复。",
      tasks: "任务", clear: "清空", empty: "还没有任务。输入文本，点击“生成”，每个状态都会实时出现在这里。",
      log: "事件日志", retry: "重试", cancel: "取消", attempt: "第 {} 次尝试", retryAt: "将于 {} 重试",
      spoken: "{} 秒语音", snapshot: "（连接中断期间的状态已合并）", gone: "服务端已没有此任务",
      samples: [["欢迎语", "你好，欢迎使用语音合成服务。"], ["古诗", "床前明月光，疑是地上霜。举头望明月，低头思故乡。"], ["通知", "您的快递已到达，请凭取件码到驿站领取。"]],
      state: { closed: "未连接", connecting: "连接中…", open: "已连接", reconnecting: "重新连接中…" },
      status: {
        starting: "已接受", queued: "排队中", dequeued: "已取出", processing: "处理中",
        prediction_created: "生成中", downloading: "下载中", download_complete: "下载完成",
        succeeded: "成功", waiting_retry: "等待重试", retrying: "重试中", failed: "失败",
        canceling: "取消中", canceled: "已取消",
      },
    },
    en: {
      title: "Text to speech, live", other: "中文", compose: "Speak a text", template: "Template (reference voice)",
      text: "Text", instruction: "Instruction (optional)", instructionHint: "for instance: cheerfully", autoplay: "Play when done",
      generate: "Generate", stream: "Connection", connect: "Connect", disconnect: "Disconnect", position: "Position",
      reconnections: "Reconnections", heartbeat: "Last heartbeat", apiKey: "API key (if the service asks for one)", useKey: "Use",
      streamHint: "Tasks go on while disconnected. On reconnection what was missed comes in order: nothing is lost, nothing comes twice.",
      tasks: "Tasks", clear: "Clear", empty: "No tasks yet. Enter a text and press Generate: every status appears here as it happens.",
      log: "Event log", retry: "Retry", cancel: "Cancel", attempt: "attempt {}", retryAt: "again at {}",
      spoken: "{} s of speech", snapshot: "(statuses while disconnected in one)", gone: "the service does not have this task any more",
      samples: [["Welcome", "Hello, and welcome to the speech service."], ["中文", "你好，欢迎使用语音合成服务。"], ["Notice", "Your parcel has arrived. Please bring your pick-up code."]],
      state: { closed: "Disconnected", connecting: "Connecting…", open: "Connected", reconnecting: "Reconnecting…" },
      status: {
        starting: "Accepted", queued: "Queued", dequeued: "Taken up", processing: "Processing",
        prediction_created: "Generating", downloading: "Downloading", download_complete: "Downloaded",
        succeeded: "Succeeded", waiting_retry: "Waiting to retry", retrying: "Retrying", failed: "Failed",
        canceling: "Canceling", canceled: "Canceled",
      },
    },
  };
  const FINAL = new Set(["succeeded", "failed", "canceled"]);
  const KEPT_TASKS = 30;
  const KEPT_LINES = 200;
  const TEXT_MAX = 5000;

  const $ = (id) => document.getElementById(id);
  const saved = JSON.parse(sessionStorage.getItem("tts-example") ?? "{}");
  const tasks = new Map((saved.tasks ?? []).map((task) => [task.taskId, task]));
  const cards = new Map();
  let language = localStorage.getItem("tts-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  let reconnections = 0;
  let client;

  const say = (key, value) => WORDS[language][key].replace("{}", value);
  const CLOCK = new Intl.DateTimeFormat("en-GB", {
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
  });
  const clock = (time) => CLOCK.format(new Date(time));
  const lasted = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`);

  function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function save() {
    const kept = { tasks: [...tasks.values()], position: client.position };
    sessionStorage.setItem("tts-example", JSON.stringify(kept));
  }

  // --- the connection

  function start(apiKey, lastEventId) {
    client = new TTSEventClient({ baseUrl: new URL(".", location.href).href, apiKey, lastEventId });
    client.addEventListener("task_update", take);
    client.addEventListener("reset", () => [...tasks.values()].filter((task) => !over(task)).forEach(reload));
    client.addEventListener("reconnecting", () => (reconnections += 1));
    client.addEventListener("heartbeat", ({ timestamp }) => ($("heartbeat").textContent = clock(timestamp).slice(0, 8)));
    for (const type of ["connected", "task_update", "heartbeat", "reset", "reconnecting", "error", "close"]) {
      client.addEventListener(type, (data) => {
        note(type, data);
        showConnection();
      });
    }
    connect();
  }

  function connect() {
    client.connect().catch(report);
    showConnection();
  }

  function showConnection() {
    $("connection").dataset.state = client.state;
    $("connection-text").textContent = WORDS[language].state[client.state];
    $("connect").disabled = client.state !== "closed";
    $("disconnect").disabled = client.state === "closed";
    $("position").textContent = client.position ?? "–";
    $("reconnections").textContent = reconnections;
  }

  function note(type, data) {
    const what = data instanceof Error ? `${data.code ?? ""} ${data.message}` : JSON.stringify(data);
    const line = element("li", "", `${clock(Date.now())} ${type} ${what ?? ""}`);
    $("log").prepend(line);
    if ($("log").children.length > KEPT_LINES) $("log").lastChild.remove();
  }

  function report(error) {
    if (error.code === "closed") return;
    $("problem").textContent = error.message;
    $("problem").hidden = false;
  }

  // --- the tasks

  function over(task) {
    return FINAL.has(task.updates.at(-1)?.status);
  }

  /** Statuses may come before the answer to the POST does: whichever is first makes the task. */
  function task(taskId) {
    if (!tasks.has(taskId)) tasks.set(taskId, { taskId, updates: [] });
    if (tasks.size > KEPT_TASKS) forget(tasks.keys().next().value);
    return tasks.get(taskId);
  }

  function forget(taskId) {
    tasks.delete(taskId);
    cards.get(taskId)?.remove();
    cards.delete(taskId);
  }

  function take(update) {
    const taken = task(update.taskId);
    if (update.position <= taken.updates.at(-1)?.position) return;
    taken.updates.push(update);
    taken.templateId ??= update.templateId;
    save();
    show(taken);
    if (update.status === "succeeded" && taken.mine && $("autoplay").checked && client.state === "open") {
      // A browser may refuse to play without a click; the button is there.
      cards.get(update.taskId).querySelector("audio").play().catch(() => {});
    }
  }

  async function reload({ taskId }) {
    try {
      const now = await client.getTask(taskId);
      take({ ...now, timestamp: now.updatedAt, snapshot: true });
    } catch (error) {
      if (error.status === 404) {
        forget(taskId);
        save();
      }
      report(new Error(error.status === 404 ? say("gone") : error.message));
    }
  }

  function show(shown) {
    const { taskId, updates } = shown;
    if (!cards.has(taskId)) cards.set(taskId, addCard(shown));
    const card = cards.get(taskId);
    const part = (selector) => card.querySelector(selector);
    const last = updates.at(-1) ?? { status: "starting" };
    const words = WORDS[language];
    card.dataset.status = last.status;
    card.classList.toggle("running", !FINAL.has(last.status));
    part(".badge").textContent = words.status[last.status] ?? last.status;
    const whole = updates.length > 1 && updates[0].status === "starting";
    const total = whole ? Date.parse(last.timestamp) - Date.parse(updates[0].timestamp) : 0;
    const facts = [shown.templateId, last.duration && say("spoken", last.duration.toFixed(1)), total && lasted(total)];
    part(".meta").textContent = facts.filter(Boolean).join(" · ");
    part(".said").textContent = shown.text ?? "";
    part(".said").hidden = !shown.text;
    part(".problem").textContent = [last.error, last.code && `(${last.code})`].filter(Boolean).join(" ");
    part(".problem").hidden = !last.error;
    part(".timeline").replaceChildren(...updates.map((update, index) => step(update, updates[index + 1], total)));
    part(".retry").hidden = last.status !== "failed";
    part(".cancel").hidden = FINAL.has(last.status) || last.status === "canceling";
    part(".retry").textContent = words.retry;
    part(".cancel").textContent = words.cancel;
    const audio = part("audio");
    if (last.audioUrl && audio.getAttribute("src") !== last.audioUrl) audio.src = last.audioUrl;
    audio.hidden = !last.audioUrl;
    $("empty").hidden = true;
    $("clear").hidden = false;
  }

  function addCard({ taskId }) {
    const card = $("task").content.firstElementChild.cloneNode(true);
    card.dataset.taskId = taskId;
    card.querySelector(".id").textContent = taskId;
    const retry = card.querySelector(".retry");
    const cancel = card.querySelector(".cancel");
    retry.addEventListener("click", () => command(retry, () => client.retryAudio({ taskId })));
    cancel.addEventListener("click", () => command(cancel, () => client.cancel(taskId)));
    $("tasks").prepend(card);
    return card;
  }

  function step(update, next, total) {
    const words = WORDS[language];
    const line = element("li");
    line.dataset.status = update.status;
    line.dataset.position = update.position;
    const track = element("span", "bar-track");
    const took = next && Date.parse(next.timestamp) - Date.parse(update.timestamp);
    if (total && next) {
      const bar = element("span");
      bar.style.setProperty("--share", `${(100 * took) / total}%`);
      track.append(bar);
    }
    const time = element("time", "", clock(update.timestamp));
    time.dateTime = update.timestamp;
    line.append(
      element("span", "", words.status[update.status] ?? update.status),
      track,
      element("span", "took", next ? lasted(took) : ""),
      time,
    );
    const notes = [
      update.attempt > 1 && say("attempt", update.attempt),
      update.retryAt && say("retryAt", clock(update.retryAt).slice(0, 8)),
      next && update.error,
      update.predictionId,
      update.snapshot && words.snapshot,
    ].filter(Boolean);
    if (notes.length) line.append(element("span", "note", notes.join(" · ")));
    return line;
  }

  async function command(button, run) {
    button.disabled = true;
    $("problem").hidden = true;
    try {
      return await run();
    } catch (error) {
      report(error);
    } finally {
      button.disabled = false;
    }
  }

  // --- the page

  function count() {
    const length = [...$("text").value].length;
    $("counter").textContent = `${length} / ${TEXT_MAX}`;
    $("text").setCustomValidity(length > TEXT_MAX ? `${length} > ${TEXT_MAX}` : "");
  }

  function translate() {
    const words = WORDS[language];
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    document.title = words.title;
    for (const said of document.querySelectorAll("[data-say]")) said.textContent = words[said.dataset.say];
    $("instruction").placeholder = words.instructionHint;
    $("language").textContent = words.other;
    $("language").lang = language === "zh" ? "en" : "zh-CN";
    $("samples").replaceChildren(
      ...words.samples.map(([name, text]) => {
        const chip = element("button", "", name);
        chip.type = "button";
        chip.addEventListener("click", () => {
          $("text").value = text;
          count();
        });
        return chip;
      }),
    );
    for (const known of tasks.values()) show(known);
    showConnection();
  }

  $("language").addEventListener("click", () => {
    language = language === "zh" ? "en" : "zh";
    localStorage.setItem("tts-language", language);
    translate();
  });
  $("text").addEventListener("input", count);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("composer").requestSubmit();
  });
  $("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    const request = {
      templateId: $("template").value,
      tts_text: $("text").value,
      instruction: $("instruction").value || undefined,
    };
    command($("generate"), async () => {
      const { taskId } = await client.generateAudio(request);
      const made = Object.assign(task(taskId), { text: request.tts_text, templateId: request.templateId, mine: true });
      save();
      show(made);
    });
  });
  $("connect").addEventListener("click", connect);
  $("disconnect").addEventListener("click", () => client.close());
  $("clear").addEventListener("click", () => {
    [...tasks.keys()].forEach(forget);
    $("empty").hidden = false;
    $("clear").hidden = true;
    save();
  });
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    $("problem").hidden = true;
    client.close();
    start($("key").value || undefined, client.position);
  });

  $("text").value = WORDS[language].samples[0][1];
  count();
  start(undefined, saved.position);
  translate();
})();
