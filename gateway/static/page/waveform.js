/** How loud an audio is over its time, as bars; what was heard already is in another colour. */

const PEAKS = 1000; // more than a screen shows bars
const BAR_PX = 3;
const RATE = 8000; // of samples in a second: enough to see, and small enough for ten minutes
const LARGEST = 60_000_000; // bytes that are worth to be fetched for a picture

export class Waveform {
  #canvas;
  #audio;
  #peaks = [];

  constructor(canvas, audio) {
    this.#canvas = canvas;
    this.#audio = audio;
    const draw = () => this.#draw();
    new ResizeObserver(draw).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    for (const type of ["timeupdate", "seeked", "loadedmetadata"]) audio.addEventListener(type, draw);
    canvas.addEventListener("click", ({ offsetX }) => {
      if (audio.duration > 0) audio.currentTime = (audio.duration * offsetX) / canvas.clientWidth;
    });
  }

  /** Hidden for what cannot be read here: another host's, or no audio that a browser knows. */
  async load(url) {
    this.#canvas.hidden = true;
    this.#peaks = [];
    if (new URL(url, document.baseURI).origin !== location.origin) return;
    const response = await fetch(url);
    if (!response.ok || Number(response.headers.get("content-length")) > LARGEST) return;
    try {
      const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await response.arrayBuffer());
      this.#peaks = peaksOf(sound.getChannelData(0));
    } catch (error) {
      if (error.name !== "EncodingError") throw error;
      return;
    }
    this.#canvas.hidden = false;
    this.#draw();
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width || !this.#peaks.length) return;
    const scale = devicePixelRatio;
    Object.assign(this.#canvas, { width: width * scale, height: height * scale });
    const pen = this.#canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(this.#canvas);
    const bars = Math.floor(width / BAR_PX);
    const heard = this.#audio.duration > 0 ? (bars * this.#audio.currentTime) / this.#audio.duration : 0;
    const loudest = Math.max(...this.#peaks, 0.05);
    for (let bar = 0; bar < bars; bar += 1) {
      const part = this.#peaks.slice(Math.floor((bar * this.#peaks.length) / bars), Math.ceil(((bar + 1) * this.#peaks.length) / bars));
      const size = Math.max(2, (height * Math.max(...part)) / loudest);
      pen.fillStyle = bar < heard ? style.getPropertyValue("--accent") : style.color;
      pen.fillRect(bar * BAR_PX, (height - size) / 2, BAR_PX - 1, size);
    }
  }
}

function peaksOf(samples) {
  const count = Math.min(PEAKS, samples.length);
  return Array.from({ length: count }, (_, n) => {
    let peak = 0;
    const end = Math.floor(((n + 1) * samples.length) / count);
    for (let at = Math.floor((n * samples.length) / count); at < end; at += 1) peak = Math.max(peak, Math.abs(samples[at]));
    return peak;
  });
}
