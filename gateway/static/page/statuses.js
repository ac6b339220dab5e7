/** The statuses of a task: what they are called, and which belong together. */

export const WORDS = {
  zh: {
    starting: "已接受", queued: "排队中", dequeued: "已取出", processing: "处理中",
    prediction_created: "生成中", downloading: "下载中", download_complete: "下载完成",
    succeeded: "成功", waiting_retry: "等待重试", retrying: "重试中", failed: "失败",
    canceling: "取消中", canceled: "已取消",
  },
  en: {
    starting: "Accepted", queued: "Queued", dequeued: "Taken up", processing: "Processing",
    prediction_created: "Generating", downloading: "Downloading", download_complete: "Downloaded",
    succeeded: "Succeeded", waiting_retry: "Waiting to retry", retrying: "Retrying", failed: "Failed",
    canceling: "Canceling", canceled: "Canceled",
  },
};

/** Of a long text, each part has these. */
export const OF_A_PART = new Set(["processing", "prediction_created", "downloading", "download_complete"]);

export const GROUPS = {
  waiting: ["starting", "queued", "waiting_retry", "retrying"],
  working: ["dequeued", ...OF_A_PART, "canceling"],
  succeeded: ["succeeded"],
  failed: ["failed"],
  canceled: ["canceled"],
};

export const FINAL = new Set([...GROUPS.succeeded, ...GROUPS.failed, ...GROUPS.canceled]);
