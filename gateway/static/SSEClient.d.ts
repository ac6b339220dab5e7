/** Types of SSEClient.js and SSEClient.mjs. Times are ISO 8601 in UTC, durations milliseconds. */

export type TaskStatus =
  | "starting"
  | "queued"
  | "dequeued"
  | "processing"
  | "prediction_created"
  | "downloading"
  | "download_complete"
  | "succeeded"
  | "waiting_retry"
  | "retrying"
  | "failed"
  | "canceling"
  | "canceled";

/** Which of the tasks that wait come first. */
export type Priority = "high" | "normal" | "low";
/** What the audio of a task is stored as. */
export type AudioFormat = "wav" | "mp3" | "opus";

export interface Token {
  token: string;
  /** Without it the token is taken for good until the server refuses it. */
  expiresAt?: string;
}

/** What is needed of an EventSource: the browser's, npm `eventsource`, `react-native-sse`, … */
export interface EventSourceLike {
  readonly readyState?: number;
  addEventListener(type: any, listener: (event: any) => void): void;
  close(): void;
}

export interface ClientOptions {
  /** Where the service is, `https://tts.example.com`. Default: the page's own origin. */
  baseUrl?: string;
  /**
   * A key for commands and queries. The stream gets short-lived tokens for it, each before the last
   * one ends.
   */
  apiKey?: string;
  /** Where the stream's tokens come from instead, such as your own backend. */
  getToken?: () => Token | string | Promise<Token | string>;
  /** Follow these tasks only, from their first status on. Default: all that you may see, from now. */
  taskId?: string | string[];
  /** Resume after this position; `client.position` of an earlier client. */
  lastEventId?: number | string;
  /** Where there is none (Node 20, React Native), or another than the platform's. */
  EventSource?: new (url: string) => EventSourceLike;
  fetch?: typeof globalThis.fetch;
  /**
   * How often a heartbeat is expected until the server has said so (15000). After 2.5 intervals in
   * silence it reconnects.
   */
  heartbeatInterval?: number;
  /** Bounds of the pause before a reconnection, which doubles at every failure: 1000 and 30000. */
  minReconnectDelay?: number;
  maxReconnectDelay?: number;
}

export interface GenerateRequest {
  templateId: string;
  tts_text: string;
  instruction?: string;
  /** Default: normal. */
  priority?: Priority;
  /** What the audio is to be: WAV (16-bit PCM), MP3, or Opus in Ogg. Default: as the service is set. */
  format?: AudioFormat;
  /** Whom to tell when the task is over: an https URL. */
  callback_url?: string;
  /** Wait for the audio: seconds, or true for as long as the server allows. */
  wait?: number | boolean;
  /** A repeated request with the same key answers with the task that exists. */
  idempotencyKey?: string;
}

export interface Started {
  taskId: string;
  status: "started" | "succeeded";
  message?: string;
  /** Set when the task was waited for and has succeeded. */
  audio_url?: string;
  /** The parts that may be cut short. */
  suspectSegments?: number[];
  position?: number;
}

export interface RetryRequest {
  taskId: string;
  /** Only compared with the task's. */
  templateId?: string;
  tts_text?: string;
}

export interface Answer {
  taskId: string;
  message: string;
  position: number;
}

export interface CancelAnswer extends Answer {
  status: TaskStatus;
}

/** A task's status as it stands, from the stream or from a query. */
export type TaskState = TaskUpdate | Task;

/** One event of a task. Fields that do not belong to its status are left out. */
export interface TaskUpdate {
  taskId: string;
  status: TaskStatus;
  timestamp: string;
  position: number;
  templateId?: string;
  attempt?: number;
  /** When it was queued: its place then, 1 for the next, and about how long it would wait. */
  queuePosition?: number;
  estimatedWaitMs?: number;
  /** Seconds of speech, and bytes of audio. */
  duration?: number;
  /** With audioUrl. */
  format?: AudioFormat;
  bytes?: number;
  audioUrl?: string;
  error?: string;
  code?: string;
  step?: string;
  predictionId?: string;
  worker?: string;
  predictTime?: number;
  /** Which part of a long text it is about, and how many there are. */
  segment?: number;
  segments?: number;
  /** The audio of that part, which plays by itself. */
  partialAudioUrl?: string;
  /** The part's audio is too short for its text, although it was spoken twice. */
  suspectTruncation?: true;
  /** The part's audio is silent or broken, although it was spoken twice. */
  suspectAudio?: true;
  /** The parts of which one of these is so, once the task has succeeded. */
  suspectSegments?: number[];
  /** Seconds until the next attempt, and when it starts. */
  delay?: number;
  retryAt?: string;
  /** Whether the failure is one that no repetition can mend. */
  permanent?: boolean;
  by?: string;
  reason?: string;
  /** The failure was seen and let be; the status stays. */
  dismissed?: true;
  /** Text and audio are gone from here on; the status stays. */
  erased?: true;
  /** After a reset: several statuses at once, as read from the service. */
  snapshot?: true;
}

/** A task as the log has it. */
export interface Task {
  taskId: string;
  status: TaskStatus;
  position: number;
  templateId: string;
  attempt: number;
  /** Null once it was erased. */
  ttsText: string | null;
  instruction: string | null;
  /** Null until the task has succeeded, and once it was erased. */
  audioUrl: string | null;
  /** Seconds of speech, null if they are not known, and bytes of audio. */
  duration?: number | null;
  bytes?: number;
  error?: string;
  code?: string;
  step?: string;
  /** When the next attempt starts. */
  retryAt?: string;
  /** While it waits: its place, 1 for the next, and about how long it will wait; null while nobody knows. */
  queuePosition?: number | null;
  estimatedWaitMs?: number | null;
  createdAt: string;
  updatedAt: string;
  completedAt: string | null;
  maxAttempts: number;
  priority: Priority;
  format: AudioFormat;
  /** Of a long text: how many parts it has, how many are spoken, and the first of them in order. */
  segments?: number;
  segmentsDone?: number;
  partialAudioUrls?: string[];
  /** The parts that may be cut short, once the task has succeeded. */
  suspectSegments?: number[];
  /** When its failure was seen and let be. */
  dismissedAt?: string;
  /** When text and audio were erased. */
  erasedAt?: string;
  /** When its events left the log: it has no timeline any more. */
  archivedAt?: string;
  /** Whom to tell of the end, and how far that has come; callbackAt is the next attempt. */
  callbackUrl?: string;
  callbackState?: "waiting" | "pending" | "delivered" | "failed";
  callbackAttempts?: number;
  callbackProblem?: string;
  callbackAt?: string;
}

/** Audio that can be played by itself. */
export interface AudioPart {
  url: string;
  segment: number;
  segments: number;
}

export interface Connected {
  clientId: string;
  timestamp: string;
  position: number;
  /** Milliseconds. */
  heartbeatInterval: number;
}

export interface Heartbeat {
  timestamp: string;
  position: number;
}

export interface Reset {
  reason: "unknown" | "future" | "too_old" | "archived";
  requested: string;
  position: number;
  timestamp: string;
}

export interface EventMap {
  /** A status of a task; each comes once, in order, across reconnections. */
  task_update: TaskUpdate;
  connected: Connected;
  heartbeat: Heartbeat;
  /**
   * The stream could not go on where it was asked to: what happened until `position` has to be
   * fetched. The client does so for the unfinished tasks that it knows (see `snapshot`).
   */
  reset: Reset;
  /** The stream is open, at first and after each reconnection. */
  open: Connected;
  /** The stream broke; `delay` is missing where EventSource itself tries again. */
  reconnecting: { attempt: number; delay?: number; position?: number };
  /** Something went wrong; `reconnecting` or `close` follows if it concerns the stream. */
  error: TTSError;
  /** The end, by `close()` or because the service refused the client for good. */
  close: TTSError | undefined;
}

/** Why something was refused or did not work. */
export class TTSError extends Error {
  /**
   * The service's code (`invalid_request`, `task_not_found`, …) or `no_answer`, `bad_answer`,
   * `stream_broken`, `stream_silent`, `offline`, `not_followed`, `timeout`, `aborted`, `closed`,
   * `no_event_source`, `cors` (the service lets no page of this origin read its answers: see
   * its setting CORS_ORIGINS); of a task that ended without audio its code, `canceled` or
   * `task_erased`.
   */
  readonly code?: string;
  /** The HTTP status, if there was an answer. */
  readonly status?: number;
  readonly taskId?: string;
  /** Seconds that the service asks to wait. */
  readonly retryAfter?: number;
  readonly cause?: unknown;
  /** Whether asking again later can help. */
  readonly transient: boolean;
}

export class TTSEventClient {
  static readonly TTSError: typeof TTSError;
  /** For all clients that get none and find none; the npm package sets it in Node. */
  static EventSource?: new (url: string) => EventSourceLike;

  constructor(options?: ClientOptions);

  readonly state: "closed" | "connecting" | "open" | "reconnecting";
  /** How far the stream has come: the position of the last update or heartbeat. */
  readonly position: number | undefined;

  /** Resolves when the stream is open; rejects when it is refused for good, or closed before. */
  connect(): Promise<Connected>;
  /** Ends the stream; `connect()` takes it up again where it was. */
  close(): void;

  addEventListener<K extends keyof EventMap>(type: K, listener: (data: EventMap[K]) => void): void;
  removeEventListener<K extends keyof EventMap>(
    type: K,
    listener: (data: EventMap[K]) => void,
  ): void;

  generateAudio(request: GenerateRequest): Promise<Started>;
  /** Gives a failed task another round of attempts. */
  retryAudio(request: RetryRequest): Promise<Answer>;
  cancel(taskId: string): Promise<CancelAnswer>;
  getTask(taskId: string): Promise<Task>;
  /**
   * Resolves when the task has succeeded; rejects with a TTSError when it failed, was canceled or
   * was erased.
   */
  waitFor(
    taskId: string,
    options?: { timeout?: number; signal?: AbortSignal },
  ): Promise<Task | TaskUpdate>;
  /**
   * The audio as it comes, in the order in which it is to be heard: of a long text part after part
   * while the rest is still being spoken; of a short one, or one that is spoken already, the whole.
   * Throws what `waitFor` rejects with, after what could be heard. Call `return()`, or leave the
   * loop, and nothing is waited for any longer.
   */
  audioParts(
    taskId: string,
    options?: { timeout?: number; signal?: AbortSignal },
  ): AsyncGenerator<AudioPart, void, void>;
  /**
   * The audio's URL as an `<audio>` can fetch it, which sends no key: with a token for this audio
   * alone, good for some minutes. What is not the service's own, as in a bucket, stays as it is.
   */
  audioSource(audioUrl: string): Promise<string>;
}
