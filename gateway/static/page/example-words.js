/** The words of the example, and texts to try. */

import { Language } from "./language.js";

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

export const language = new Language({
  zh: {
    title: "语音合成 · 实时状态", compose: "生成语音", template: "模板（参考音色）",
    text: "文本", instruction: "语气指令（可选）", instructionHint: "例如：开心地", autoplay: "自动播放（长文本边生成边播放）",
    generate: "生成", stream: "实时连接", connect: "连接", disconnect: "断开", position: "位置",
    reconnections: "重连次数", heartbeat: "最近心跳", apiKey: "API 密钥（服务要求时填写）",
    streamHint: "断开后任务仍在继续；重新连接时，错过的状态会按顺序补上，不遗漏也不重复。同一浏览器的所有页面共用一条流。",
    tasks: "任务", clear: "清空", empty: "还没有任务。输入文本，点击“生成”，每个状态都会实时出现在这里。",
    log: "事件日志",
    spoken: "{} 秒语音", gone: "服务端已没有此任务",
    parts: "{}/{} 段", hearing: "听到第 {} 段",
    samples: [["欢迎语", "你好，欢迎使用语音合成服务。"], ["古诗", "床前明月光，疑是地上霜。举头望明月，低头思故乡。"], ["通知", "您的快递已到达，请凭取件码到驿站领取。"], ["长文", ARTICLES.zh]],
    connected: "已连接",
  },
  en: {
    title: "Text to speech, live", compose: "Speak a text", template: "Template (reference voice)",
    text: "Text", instruction: "Instruction (optional)", instructionHint: "for instance: cheerfully", autoplay: "Play at once (long texts while they are spoken)",
    generate: "Generate", stream: "Connection", connect: "Connect", disconnect: "Disconnect", position: "Position",
    reconnections: "Reconnections", heartbeat: "Last heartbeat", apiKey: "API key (if the service asks for one)",
    streamHint: "Tasks go on while disconnected. On reconnection what was missed comes in order: nothing is lost, nothing comes twice. All pages of a browser share one stream.",
    tasks: "Tasks", clear: "Clear", empty: "No tasks yet. Enter a text and press Generate: every status appears here as it happens.",
    log: "Event log",
    spoken: "{} s of speech", gone: "the service does not have this task any more",
    parts: "{} of {} parts", hearing: "at part {}",
    samples: [["Welcome", "Hello, and welcome to the speech service."], ["中文", "你好，欢迎使用语音合成服务。"], ["Notice", "Your parcel has arrived. Please bring your pick-up code."], ["Long text", ARTICLES.en]],
    connected: "Connected",
  },
});

export const say = (name, ...values) => language.say(name, ...values);
