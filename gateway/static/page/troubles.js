/** What is missing or away: in English as the service says it, in Chinese by the same table. */

import { language, moment } from "./dashboard-words.js";
import { element } from "./element.js";

// By code and subject: what is wrong, what it means, what to do.
export const CHINESE = {
  "no_part gateway": ["没有网关", "无法接收新任务；已接收的会继续处理。", "启动一个：tts gateway"],
  "no_part relay": ["没有 relay", "已接收的文本停在“已接受”。", "启动一个：tts relay"],
  "no_part processor": ["没有 processor", "文本停在“排队中”；不会丢失，也不会重复付费。", "启动一个：tts processor"],
  "no_part projector": ["没有 projector", "列表、数量和用量停止更新；实时流、任务和音频不受影响。", "启动一个：tts projector"],
  "no_leader relay": ["没有主 relay", "已接收的文本停在“已接受”。", "等待十秒：失效主进程的锁会自动释放；仍未恢复请看其日志。"],
  "no_leader projector": ["没有主 projector", "列表、数量和用量停止更新。", "等待十秒：失效主进程的锁会自动释放；仍未恢复请看其日志。"],
  "need_away queue": ["消息队列不可用", "文本照常接收并保存在日志中，恢复后自动继续。", "启动 RabbitMQ，或查看进程日志中 RABBITMQ_URL 无法连接的原因。"],
  "need_away audio": ["音频存储不可用", "已生成的音频保存在 DATA_DIR/work，不产生新费用。", "修复存储；任务会自动继续。原因见 processor 日志。"],
  "need_away workplace": ["工作目录不可用", "长文本无法拼接。", "在 DATA_DIR/work 腾出空间或开放写权限。"],
  "need_away store": ["事件库不可用", "该进程停止工作，其他进程继续。", "查看其日志中 EVENT_STORE_URL 无法连接的原因。"],
  "need_away projector": ["列表停在无法处理的事件前", "该列表停止更新。", "升级 projector；日志中有该事件。"],
  "behind relay": ["relay 落后于日志", "已接收的文本等待更久。", "查看其日志、RabbitMQ 和数据库。"],
  "behind projector": ["projector 落后于日志", "列表、数量和用量比实时流旧。", "追赶期间无需处理；若持续增长，查看其日志和数据库。"],
};

export function troubleItem(trouble) {
  const item = element("li", "trouble");
  item.dataset.code = trouble.code;
  item.dataset.subject = trouble.subject;
  const [message, meanwhile, action] = words(trouble).map((text) => text.replaceAll("`", ""));
  item.append(element("strong", "", message), element("span", "", meanwhile), element("span", "action", action));
  return item;
}

function words({ code, subject, since, message, meanwhile, action }) {
  const chinese = CHINESE[`${code} ${subject}`];
  if (language.code !== "zh" || !chinese) return [message, meanwhile, action];
  return [since ? `${chinese[0]}（自 ${moment(since)} 起）` : chinese[0], chinese[1], chinese[2]];
}
