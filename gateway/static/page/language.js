/** The words of a page in Chinese or English, whichever was chosen last on any page. */

import { $ } from "./element.js";
import { WORDS as STATUSES } from "./statuses.js";

const SHARED = {
  zh: {
    tag: "zh-CN", other: "English", retry: "重试", cancel: "取消", dismissed: "已忽略", erased: "已删除",
    part: "第 {} 段", nthAttempt: "第 {} 次尝试", retryAt: "将于 {} 重试", by: "操作者 {}",
    truncated: "可能不完整", noSpeech: "可能没有声音", snapshot: "（连接中断期间的状态已合并）",
    keyNeeded: "需要 API 密钥", keyRefused: "密钥无效或已吊销。", useKey: "使用", signOut: "退出",
    connections: { closed: "未连接", connecting: "连接中…", reconnecting: "重新连接中…" },
  },
  en: {
    tag: "en", other: "中文", retry: "Retry", cancel: "Cancel", dismissed: "Dismissed", erased: "Erased",
    part: "Part {}", nthAttempt: "attempt {}", retryAt: "again at {}", by: "by {}",
    truncated: "may be cut short", noSpeech: "may be silent", snapshot: "(statuses while disconnected in one)",
    keyNeeded: "An API key is needed", keyRefused: "This key is not accepted: it is wrong, or revoked.", useKey: "Use", signOut: "Sign out",
    connections: { closed: "Disconnected", connecting: "Connecting…", reconnecting: "Reconnecting…" },
  },
};

export class Language {
  #words;

  /** `words` are the page's own, by language; its `connected` is what an open stream is called. */
  constructor(words) {
    this.#words = words;
    this.code = localStorage.getItem("tts-language") ?? (navigator.language.startsWith("zh") ? "zh" : "en");
  }

  /** The page's words and the shared ones. */
  get words() {
    return { ...SHARED[this.code], ...this.#words[this.code] };
  }

  /** A word or a sentence; each `{}` in it is replaced by the next of the values. */
  say(name, ...values) {
    return values.reduce((text, value) => text.replace("{}", value), this.words[name]);
  }

  status(name) {
    return STATUSES[this.code][name] ?? name;
  }

  /** What a state of the client is called. */
  connection(state) {
    return this.words.connections[state] ?? this.words.connected;
  }

  /** Translates what stands on the page, now and whenever the button is pressed; `show` does the rest. */
  apply(show) {
    const translate = () => {
      document.documentElement.lang = this.words.tag;
      document.title = this.words.title;
      for (const node of document.querySelectorAll("[data-say]")) node.textContent = this.words[node.dataset.say];
      $("language").textContent = this.words.other;
      $("language").lang = SHARED[this.#other].tag;
      show();
    };
    $("language").addEventListener("click", () => {
      this.code = this.#other;
      localStorage.setItem("tts-language", this.code);
      translate();
    });
    translate();
  }

  get #other() {
    return this.code === "zh" ? "en" : "zh";
  }
}
