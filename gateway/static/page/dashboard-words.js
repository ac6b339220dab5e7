/** The dashboard's words, and numbers and times as they are written there. */

import { Language } from "./language.js";
import { WORDS as TASK } from "./task-words.js";

export const language = new Language({
  zh: {
    ...TASK.zh,
    title: "语音合成 · 控制台", tryIt: "体验", docs: "文档", counts: "任务数量",
    keyHint: "dashboard 密钥可查看全部，admin 密钥还可重试与忽略。密钥只保存在本标签页。",
    keyTooLittle: "此密钥的角色看不到控制台：请使用 dashboard 或 admin 密钥。",
    asOf: "截至 {}（之后未更新）", notRead: "尚未读取", unknown: "未知", silent: "无响应", roles: { leading: "主", "standing by": "备" },
    partNames: { gateway: "网关", relay: "调度 relay", processor: "处理 processor", projector: "列表 projector" },
    troubles: "{} 项异常", busy: "{}/{} 忙", behind: "落后 {} 秒", waitingWork: "排队情况", oldest: "最早未完成", oldestWait: "最久排队", newTaskWaits: "新任务预计等待", unfinished: "未完成",
    published: "已派发、未领取", priorities: { high: "高优先级", normal: "普通", low: "低优先级" }, none: "无",
    queueNames: { work: "任务队列", retry: "重试队列", dead_letter: "死信队列" }, lastProblem: "最近告警 {}：{}",
    letters: "死信", noLetters: "没有死信，一切正常。", more: "更多", recent: "最近任务",
    noTasks: "还没有任务。", status: "状态", task: "任务", template: "模板", attempt: "尝试", what: "说明",
    changed: "更新于", parts: "组件", system: "系统", gate: "Replicate 闸门",
    gateState: { closed: "放行", open: "暂停", "half-open": "试探中" }, inFlight: "进行中", waiting: "等待中", perMinute: "每分钟上限", failures: "连续失败", reason: "原因（写入日志）",
    dismiss: "忽略", retryAll: "全部重试 {}", dismissAll: "全部忽略 {}",
    askRetry: "重试 {} 条死信？", askDismiss: "忽略 {} 条死信？", all: "全部", healthy: "正常", unhealthy: "异常",
    version: "版本", deployment: "部署", store: "存储", queue: "队列", audio: "音频", uptime: "运行时间",
    position: "日志位置", streams: "实时连接", permanent: "重试无用", attempts: "{} 次尝试", paid: "{} 次预测",
    characters: "{} 字", until: "直到", why: "原因", working: "已处理 {}，剩余 {}", done: "已处理 {}，跳过 {}",
    fromHere: "在控制台上操作",  noRights: "此密钥无权查看",
    groups: { waiting: "等待中", working: "进行中", succeeded: "成功", failed: "失败", canceled: "已取消" },
    connected: "实时", search: "搜索编号或文本", anyStatus: "全部", moreFilters: "更多条件", code: "错误代码", owner: "所有者",
    since: "创建不早于", createdBefore: "创建早于", clearFilters: "清除条件", noneFound: "没有符合条件的任务。", newTasks: "{} 个新任务", looking: "查找中…",
    figures: "数据", throughput: "吞吐量", aMinute: "{} / 分钟", lastMinutes: "最近 {} 分钟", lastDay: "24 小时",
    accepted: "接收", succeededDay: "成功", failedDay: "失败", slowest: "95% 用时不超过", p95: "最近有任务的一小时",
    spend: "今日花费", spendNote: "今天（UTC），按设置的单价", secondsNote: "今天（UTC）的预测计费时长", hour: "小时",
    sparkline: "每小时最高 {}（{}）", noneInADay: "24 小时内没有", asTable: "以表格查看 24 小时",
  },
  en: {
    ...TASK.en,
    title: "Text to speech", tryIt: "Try it", docs: "Docs", counts: "Tasks by status",
    keyHint: "A dashboard key sees everything, an admin key may retry and dismiss, too. It stays in this tab.",
    keyTooLittle: "This key's role does not see the dashboard: take a dashboard or an admin key.",
    asOf: "as of {}, and not renewed since", notRead: "not read yet", unknown: "unknown", silent: "silent", roles: { leading: "leading", "standing by": "standing by" },
    partNames: { gateway: "Gateway", relay: "Relay", processor: "Processor", projector: "Projector" },
    troubles: "troubles: {}", busy: "{}/{} busy", behind: "{} s behind", waitingWork: "What waits", oldest: "Oldest unfinished", oldestWait: "Longest wait now", newTaskWaits: "A new task waits", unfinished: "Unfinished",
    published: "Published, not taken", priorities: { high: "High priority", normal: "Normal", low: "Low priority" }, none: "none",
    queueNames: { work: "Task queue", retry: "Retry queue", dead_letter: "Dead letter queue" }, lastProblem: "last warning {}: {}",
    letters: "Dead letters", noLetters: "No dead letters: all is well.", more: "More", recent: "Recent tasks",
    noTasks: "No tasks yet.", status: "Status", task: "Task", template: "Template", attempt: "Attempt", what: "What",
    changed: "Changed", parts: "Parts", system: "System", gate: "Gate to Replicate",
    gateState: { closed: "flowing", open: "paused", "half-open": "probing" }, inFlight: "In flight", waiting: "Waiting here", perMinute: "Allowed a minute", failures: "Failures in a row", reason: "Reason (kept in the log)",
    dismiss: "Dismiss", retryAll: "Retry all {}", dismissAll: "Dismiss all {}",
    askRetry: "Retry {} dead letters?", askDismiss: "Dismiss {} dead letters?", all: "All", healthy: "healthy", unhealthy: "unhealthy",
    version: "Version", deployment: "Deployment", store: "Store", queue: "Queue", audio: "Audio", uptime: "Up for",
    position: "Log position", streams: "Open streams", permanent: "no repetition can help", attempts: "attempts: {}", paid: "predictions: {}",
    characters: "characters: {}", until: "Until", why: "Reason", working: "{} done, {} to go", done: "{} done, {} skipped",
    fromHere: "from the dashboard",  noRights: "not for this key",
    groups: { waiting: "Waiting", working: "In progress", succeeded: "Succeeded", failed: "Failed", canceled: "Canceled" },
    connected: "Live", search: "Search ids and texts", anyStatus: "Any", moreFilters: "More filters", code: "Error code", owner: "Owner",
    since: "Created since", createdBefore: "Created before", clearFilters: "Clear filters", noneFound: "No task fits these filters.", newTasks: "{} new", looking: "Looking…",
    figures: "Figures", throughput: "Throughput", aMinute: "{} / min", lastMinutes: "last {} minutes", lastDay: "24 hours",
    accepted: "Accepted", succeededDay: "Succeeded", failedDay: "Failed", slowest: "95 % within", p95: "last hour with tasks",
    spend: "Spent today", spendNote: "since 0:00 UTC, by the price that is set", secondsNote: "of predictions, billed since 0:00 UTC", hour: "Hour",
    sparkline: "at most {} in an hour ({})", noneInADay: "none in 24 hours", asTable: "24 hours as a table",
  },
});

export const say = (name, ...values) => language.say(name, ...values);
export const number = (value) => new Intl.NumberFormat(language.code).format(value);
export const clock = (time) => new Date(time).toLocaleTimeString("en-GB");
export const moment = (time) =>
  new Date(time).toDateString() === new Date().toDateString() ? clock(time) : new Date(time).toLocaleString(language.code);
/** The same where there is little room: no year, and of another day no seconds. */
export const brief = (time) =>
  new Date(time).toDateString() === new Date().toDateString()
    ? clock(time)
    : new Date(time).toLocaleString(language.code, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
