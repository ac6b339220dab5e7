/**
 * The example: what an app does with TTSEventClient, on one page.
 *
 * Everything that comes from outside is shown as text, never as markup. The tasks of this tab and
 * its position in the stream survive a reload, so that one can see that nothing is missed.
 */
(function () {
  "use strict";

  const ARTICLES = {
    zh:
      "清晨的茶馆总是最早醒来的地方。天还没有大亮，老板就已经把炉火生好，铜壶里的水咕嘟咕嘟地响着，白色的水汽顺着屋檐慢慢散开。" +
      "第一位客人通常是住在巷口的老先生，他总要靠窗的那张桌子，一壶龙井，一碟瓜子，再加一份当天的报纸。他说，看了一辈子的报纸，不看就觉得这一天没有开始。" +
      "到了八点，茶馆里渐渐热闹起来。卖菜的大婶放下担子，进来喝一碗热茶；送信的小伙子把自行车靠在墙边，一边擦汗，一边和大家说着城里的新鲜事。" +
      "有人谈天气，有人谈收成，也有人只是静静地坐着，听水开的声音，听木楼梯吱呀吱呀地响。" +
      "老板记得每一位客人的口味：谁爱喝浓的，谁要多加一点菊花，谁胃不好，只能喝温的。他从不写在纸上，却从来没有弄错过。" +
      "有人问他秘诀是什么，他笑着说：“哪里有什么秘诀，不过是把每一个来的人，都当作今天的第一位客人。”" +
      "午后下起了小雨，石板路被洗得发亮。茶馆里的人没有急着离开，他们又添了一次水，把没有讲完的故事接着讲下去。" +
      "雨停的时候，夕阳从云缝里照进来，落在那把用了三十年的铜壶上，像是给平常的一天，点上了一个温柔的句号。",
    en:
      "The teahouse is always the first place in the lane to wake up. Long before the sun is over the roofs, the owner has lit the stove, and the copper kettle hums to itself while white steam drifts out under the eaves. " +
      "The first guest is usually the old gentleman from the corner. He takes the table by the window, a pot of green tea, a saucer of melon seeds and the morning paper. Without the paper, he says, the day has not begun. " +
      "By eight the room is full of voices. The woman who sells vegetables puts down her baskets and warms her hands on a bowl. The postman leans his bicycle against the wall and brings the news of the town. " +
      "The owner knows how everyone likes their tea, and he has never written it down. Asked for his secret, he only smiles and says that he treats each guest as if they were the first one of the day.",
  };
  const WORDS = {
    zh: {
      title: "语音合成 · 实时状态", other: "English", compose: "生成语音", template: "模板（参考音色）",
      text: "文本", instruction: "语气指令（可选）", instructionHint: "例如：开心地", autoplay: "自动播放（长文本边生成边播放）",
      generate: "生成", stream: "实时连接", connect: "连接", disconnect: "断开", position: "位置",
      reconnections: "重连次数", heartbeat: "最近心跳", apiKey: "API 密钥（服务要求时填写）", useKey: "使用",
      streamHint: "断开后任务仍在继续；重新连接时，错过的状态会按顺序补上，不遗漏也不重复。",
      tasks: "任务", clear: "清空", empty: "还没有任务。输入文本，点击“生成”，每个状态都会实时出现在这里。",
      log: "事件日志", retry: "重试", cancel: "取消", attempt: "第 {} 次尝试", retryAt: "将于 {} 重试",
      spoken: "{} 秒语音", snapshot: "（连接中断期间的状态已合并）", gone: "服务端已没有此任务",
      parts: "{}/{} 段", part: "第 {} 段", hearing: "听到第 {} 段", truncated: "可能不完整",
      samples: [["欢迎语", "你好，欢迎使用语音合成服务。"], ["古诗", "床前明月光，疑是地上霜。举头望明月，低头思故乡。"], ["通知", "您的快递已到达，请凭取件码到驿站领取。"], ["长文", ARTICLES.zh]],
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
      text: "Text", instruction: "Instruction (optional)", instructionHint: "for instance: cheerfully", autoplay: "Play at once (long texts while they are spoken)",
      generate: "Generate", stream: "Connection", connect: "Connect", disconnect: "Disconnect", position: "Position",
      reconnections: "Reconnections", heartbeat: "Last heartbeat", apiKey: "API key (if the service asks for one)", useKey: "Use",
      streamHint: "Tasks go on while disconnected. On reconnection what was missed comes in order: nothing is lost, nothing comes twice.",
      tasks: "Tasks", clear: "Clear", empty: "No tasks yet. Enter a text and press Generate: every status appears here as it happens.",
      log: "Event log", retry: "Retry", cancel: "Cancel", attempt: "attempt {}", retryAt: "again at {}",
      spoken: "{} s of speech", snapshot: "(statuses while disconnected in one)", gone: "the service does not have this task any more",
      parts: "{} of {} parts", part: "Part {}", hearing: "at part {}", truncated: "may be cut short",
      samples: [["Welcome", "Hello, and welcome to the speech service."], ["中文", "你好，欢迎使用语音合成服务。"], ["Notice", "Your parcel has arrived. Please bring your pick-up code."], ["Long text", ARTICLES.en]],
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
  const OF_A_PART = new Set(["processing", "prediction_created", "downloading", "download_complete"]);
  const KEPT_TASKS = 30;
  const KEPT_LINES = 200;
  const TEXT_MAX = 10_000;

  const $ = (id) => document.getElementById(id);
  const saved = JSON.parse(sessionStorage.getItem("tts-example") ?? "{}");
  const tasks = new Map((saved.tasks ?? []).map((task) => [task.taskId, task]));
  const cards = new Map();
  const listeners = new Map(); // by task: the AbortController of whoever plays its parts
  let language = localStorage.getItem("tts-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  let reconnections = 0;
  let client;

  const say = (key, ...values) => values.reduce((text, value) => text.replace("{}", value), WORDS[language][key]);
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
    try {
      sessionStorage.setItem("tts-example", JSON.stringify(kept));
    } catch (error) {
      // Some long texts fill what a tab may keep: the oldest task makes room.
      if (error.name !== "QuotaExceededError" || tasks.size < 2) throw error;
      forget(tasks.keys().next().value);
      save();
    }
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
    listeners.get(taskId)?.abort();
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
    if (isLong(taken) && !over(taken)) listen(taken);
    if (update.status === "succeeded") {
      const audio = audioOf(taken);
      const silent = !taken.heard && audio.paused && !audio.currentTime;
      settle(taken);
      if (silent && autoplays(taken)) play(audio);
    }
  }

  // --- playing

  document.addEventListener("play", ({ target }) => { // it does not bubble
    for (const audio of document.querySelectorAll("audio")) if (audio !== target) audio.pause();
  }, true);

  const isLong = ({ updates }) => updates.some(({ segments }) => segments > 1);
  const audioOf = ({ taskId }) => cards.get(taskId).querySelector("audio");
  // One voice at a time: nothing begins by itself while another text is heard, or between its parts.
  const isHeard = (shown) => !audioOf(shown).paused || (shown.hearing !== undefined && shown.heard > 0);
  const autoplays = ({ mine }) => mine && $("autoplay").checked && client.state === "open" && ![...tasks.values()].some(isHeard);
  const play = (audio) => audio.play().catch(() => {}); // a browser may want a click first; the button is there

  /** Plays the parts of a long text one after the other while the rest is still being spoken. */
  async function listen(shown) {
    const { taskId } = shown;
    if (listeners.has(taskId)) return;
    const leaving = new AbortController();
    listeners.set(taskId, leaving);
    try {
      for await (const { url, segment, segments } of client.audioParts(taskId, { signal: leaving.signal })) {
        if (segments === 1) break; // it is over already: the whole is there
        if (segment < (shown.heard ?? 0)) continue;
        shown.hearing = segment;
        const audio = audioOf(shown);
        const ended = heardOut(audio, url, leaving.signal);
        if (segment || autoplays(shown)) play(audio);
        show(shown);
        await ended;
        shown.heard = segment + 1;
      }
    } catch (error) {
      // What ended the task stands on its card, and what ended the stream above.
      if (!leaving.signal.aborted && !over(shown)) report(error);
    } finally {
      listeners.delete(taskId);
      delete shown.hearing;
      if (tasks.has(taskId)) show(shown);
    }
  }

  function heardOut(audio, url, signal) {
    return new Promise((resolve, reject) => {
      const once = { once: true, signal };
      signal.addEventListener("abort", reject, { once: true });
      audio.addEventListener("ended", resolve, once);
      audio.addEventListener("error", () => reject(audio.error), once);
      audio.src = url;
    });
  }

  /** The whole instead of the parts when it is there and none of them plays, from where one was. */
  function settle(shown) {
    const audio = audioOf(shown);
    const { audioUrl } = shown.updates.at(-1);
    if (!audioUrl || !audio.paused || audio.ended || !listeners.has(shown.taskId)) return;
    const lengths = [];
    for (const { segment, duration } of shown.updates) if (duration) lengths[segment] = duration;
    const before = lengths.slice(0, shown.hearing ?? 0).reduce((sum, length) => sum + length, 0);
    const heard = before + audio.currentTime;
    listeners.get(shown.taskId).abort();
    audio.src = audioUrl;
    audio.currentTime = heard;
  }

  /** How much of a long text is spoken; a snapshot tells a number, updates tell which. */
  function progress({ updates, hearing }) {
    const total = Math.max(...updates.map(({ segments }) => segments ?? 1));
    const parts = Array.from({ length: total }, () => "waiting");
    for (const { status, segment, segments, segmentsDone } of updates) {
      if (segments > 1 && OF_A_PART.has(status) && segment !== undefined) {
        parts[segment] = status === "download_complete" ? "done" : "running";
      }
      if (segmentsDone) parts.fill("done", 0, segmentsDone);
      if (status === "succeeded") parts.fill("done");
    }
    return { parts, done: parts.filter((part) => part === "done").length, total, hearing };
  }

  function showProgress(card, shown) {
    const place = card.querySelector(".progress");
    place.hidden = !isLong(shown);
    if (place.hidden) return;
    const { parts, done, total, hearing } = progress(shown);
    const cells = parts.map((state, index) => {
      const cell = element("i");
      cell.dataset.state = state;
      cell.classList.toggle("hearing", index === hearing);
      return cell;
    });
    place.querySelector(".parts").replaceChildren(...cells);
    place.querySelector(".parts").classList.toggle("many", total > 40);
    const said = [say("parts", done, total), hearing !== undefined && say("hearing", hearing + 1)];
    place.querySelector("output").textContent = said.filter(Boolean).join(" · ");
  }

  /** One row for each update, but for each part of a long text only one until something else happens. */
  function rows(updates) {
    const made = [];
    let open = new Map();
    updates.forEach((update, index) => {
      const ofPart = update.segments > 1 && OF_A_PART.has(update.status) && !update.snapshot;
      if (!ofPart) {
        if (!OF_A_PART.has(update.status)) open = new Map();
        made.push({ first: update, update, next: updates[index + 1] });
      } else if (open.has(update.segment)) {
        open.get(update.segment).update = update;
      } else {
        const row = { first: update, update, part: update.segment };
        open.set(update.segment, row);
        made.push(row);
      }
    });
    for (const row of made) {
      if (row.part !== undefined && row.update.status === "download_complete") row.next = row.update;
    }
    return made;
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
    const facts = [shown.templateId, !(last.segments > 1) && last.duration && say("spoken", last.duration.toFixed(1)), total && lasted(total)];
    part(".meta").textContent = facts.filter(Boolean).join(" · ");
    part(".said").textContent = shown.text ?? "";
    part(".said").hidden = !shown.text;
    part(".problem").textContent = [last.error, last.code && `(${last.code})`].filter(Boolean).join(" ");
    part(".problem").hidden = !last.error;
    const timeline = part(".timeline");
    const atEnd = timeline.scrollTop + timeline.clientHeight > timeline.scrollHeight - 4;
    timeline.classList.toggle("long", isLong(shown));
    timeline.replaceChildren(...rows(updates).map((row) => step(row, updates[0], total)));
    if (atEnd) timeline.scrollTop = timeline.scrollHeight;
    showProgress(card, shown);
    part(".retry").hidden = last.status !== "failed";
    part(".cancel").hidden = FINAL.has(last.status) || last.status === "canceling";
    part(".retry").textContent = words.retry;
    part(".cancel").textContent = words.cancel;
    const audio = part("audio");
    if (last.audioUrl && !listeners.has(taskId) && audio.getAttribute("src") !== last.audioUrl) audio.src = last.audioUrl;
    audio.hidden = !audio.hasAttribute("src");
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
    // At the end of a part the next one follows; a pause in the middle is somebody's wish.
    card.querySelector("audio").addEventListener("pause", () => tasks.has(taskId) && settle(tasks.get(taskId)));
    $("tasks").prepend(card);
    return card;
  }

  function step({ first, update, next, part }, start, total) {
    const words = WORDS[language];
    const line = element("li");
    line.dataset.status = update.status;
    line.dataset.position = update.position;
    const track = element("span", "bar-track");
    const began = Date.parse(first.timestamp);
    const took = next && Date.parse(next.timestamp) - began;
    if (total && next) {
      const bar = element("span");
      bar.style.setProperty("--from", `${(100 * (began - Date.parse(start.timestamp))) / total}%`);
      bar.style.setProperty("--share", `${(100 * took) / total}%`);
      track.append(bar);
    }
    const status = words.status[update.status] ?? update.status;
    if (part !== undefined) line.dataset.segment = part;
    const time = element("time", "", clock(update.timestamp));
    time.dateTime = update.timestamp;
    line.append(
      element("span", "", part === undefined ? status : `${say("part", part + 1)} · ${status}`),
      track,
      element("span", "took", next ? lasted(took) : ""),
      time,
    );
    const notes = [
      update.attempt > 1 && say("attempt", update.attempt),
      update.retryAt && say("retryAt", clock(update.retryAt).slice(0, 8)),
      next && update.error,
      part === undefined && update.predictionId,
      update.suspectTruncation && words.truncated,
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
  [...tasks.values()].filter((known) => isLong(known) && !over(known)).forEach(listen);
})();
