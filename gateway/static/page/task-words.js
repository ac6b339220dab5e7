/** The words of the page of one task, and of the way to it. */

export const WORDS = {
  zh: {
    board: "控制台", taskPage: "任务详情", text: "文本", timeline: "经过", predictions: "预测",
    audioTitle: "音频", facts: "详情", download: "下载", playHint: "点击波形可跳转。",
    noTask: "没有任务 {}：可能从未存在，也可能此密钥无权查看。", noId: "地址中没有任务编号：请从控制台打开一个任务。",
    erase: "删除内容", created: "创建于", completed: "完成于", priority: "优先级", length: "文本长度", instruction: "语气指令",
    spoken: "音频时长", bytes: "大小", total: "总用时", ofAttempts: "{} / {}", nextTry: "下次尝试", prediction: "预测编号",
    partColumn: "段", began: "开始", predicted: "计算", heardFor: "音频", result: "结果", seconds: "{} 秒", partsDone: "{} / {} 段",
    results: { running: "进行中", done: "完成", replaced: "未采用" }, noPredictions: "还没有预测。",
    callback: "回调", callbackTo: "回调地址", callbackProblem: "回调问题", callbackNext: "下次回调",
    callbacks: { waiting: "等待任务结束", pending: "发送中", delivered: "已送达", failed: "已放弃" },
    tries: "{}（{} 次）", about: "约 {}", turn: "排队位置", expectedWait: "预计等待", keep: "返回", advice: "{} 处理：{}",
    ask: {
      retry: ["重试此任务？", "将重新生成语音，可能产生新的费用。"],
      cancel: ["取消此任务？", "正在进行的预测会被中止，不会有音频。"],
      erase: ["删除文本和音频？", "无法恢复；状态和时间仍会保留。"],
    },
  },
  en: {
    board: "Dashboard", taskPage: "Task page", text: "Text", timeline: "Timeline", predictions: "Predictions",
    audioTitle: "Audio", facts: "Facts", download: "Download", playHint: "A click on the waveform goes there.",
    noTask: "There is no task {}: it never was, or this key may not see it.", noId: "The address names no task: open one from the dashboard.",
    erase: "Erase", created: "Created", completed: "Completed", priority: "Priority", length: "Characters", instruction: "Instruction",
    spoken: "Audio", bytes: "Size", total: "Took", ofAttempts: "{} of {}", nextTry: "Next attempt", prediction: "Prediction",
    partColumn: "Part", began: "Began", predicted: "Computed", heardFor: "Audio", result: "Result", seconds: "{} s", partsDone: "{} of {} parts",
    results: { running: "Running", done: "Done", replaced: "Not used" }, noPredictions: "No predictions yet.",
    callback: "Callback", callbackTo: "Callback to", callbackProblem: "Callback problem", callbackNext: "Next callback",
    callbacks: { waiting: "waits for the end", pending: "on its way", delivered: "delivered", failed: "given up" },
    tries: "{} (attempts: {})", about: "about {}", turn: "Place in the queue", expectedWait: "Expected wait", keep: "Back", advice: "{} What to do: {}",
    ask: {
      retry: ["Retry this task?", "It is spoken anew, which may cost again."],
      cancel: ["Cancel this task?", "Predictions that run are ended, and there will be no audio."],
      erase: ["Erase text and audio?", "There is no way back; statuses and times stay."],
    },
  },
};
