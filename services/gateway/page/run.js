// One session from its first sound to the server's last word: the capture, the connection, and how late results are.

import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { troubleOf, troubleOfError, troubleOfServer } from "./troubles.js";

const LAGS_KEPT = 20;

export class LiveRun {
  // open() resolves with a Capture. report has state(name), message(message) and ended(trouble or null); it is called in that order, ended once.
  constructor(open, key, config, report) {
    [this.open, this.key, this.config, this.report] = [open, key, config, report];
    this.capture = this.connection = null;
    this.sentS = 0;
    this.marks = []; // [end in the sound, when it was heard], rising
    this.delays = [];
    this.lags = [];
    this.isOver = false;
    this.isClosing = false;
  }

  async start() {
    try {
      this.report.state("asking");
      const capture = await this.open();
      if (this.isOver) {
        await capture.stop();
        return;
      }
      this.capture = capture;
      this.report.state("connecting");
      const encoding = await capture.prepare();
      if (this.isOver) return;
      await new Promise((resolve) => {
        this.admitted = resolve;
        this.connection = new Connection(this.key, (message) => this.#hear(message));
      });
      if (this.isOver) return;
      this.connection.configure({ ...this.config, ...encoding });
      capture.ended = () => this.stop(this.ofMicrophone ? troubleOf("microphoneGone") : null);
      await capture.start((piece, endS) => this.#send(piece, endS));
      if (!this.isOver && !this.isClosing) this.report.state("live");
    } catch (error) {
      this.#end(troubleOfError(error));
    }
  }

  async pause() {
    this.report.state("paused");
    await this.capture.pause();
    this.connection.pause();
  }

  async resume() {
    await this.capture.resume();
    this.connection.resume();
    this.report.state("live");
  }

  configure(change) {
    this.connection.configure(change);
  }

  // Before any sound it cancels; after that the last words are waited for.
  async stop(trouble = null) {
    if (this.isOver || this.isClosing) return;
    if (!this.sentS) {
      this.#end(trouble);
      return;
    }
    this.isClosing = true;
    this.trouble = trouble;
    this.report.state("closing");
    await this.capture.stop();
    this.connection.finish();
  }

  get levelDb() {
    return this.capture?.levelDb ?? -60;
  }

  get unsentS() {
    return this.connection ? this.connection.unsent / (this.bytesPerS || 96000) : 0;
  }

  // Middle values in seconds, null while there are none.
  get delayS() {
    return median(this.delays);
  }

  get lagS() {
    return median(this.lags);
  }

  #send(piece, endS) {
    this.sentS = endS;
    this.marks.push([endS, performance.now()]);
    this.connection.sendAudio(piece);
  }

  #hear(message) {
    const now = performance.now();
    if (message.type === "session") this.admitted();
    if (message.type === "final" && message.transcript) this.delays.push(this.#since(message.end, now));
    if (message.type === "interim" && message.transcript) {
      this.lags.push(this.#since(message.start + message.duration, now));
      if (this.lags.length > LAGS_KEPT) this.lags.shift();
    }
    if (message.type === "closed") {
      this.#end(this.trouble ?? null);
    } else if (message.type === "error") {
      this.#end(troubleOfServer(message.error));
    } else if (message.type === "lost") {
      this.#end(troubleOf(this.sentS ? "lost" : "unreachable"));
    } else {
      this.report.message(message);
    }
  }

  // Seconds from when the sound at this place came out of the microphone.
  #since(atS, now) {
    let [low, high] = [0, this.marks.length - 1];
    if (high < 0) return 0;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.marks[middle][0] < atS) low = middle + 1;
      else high = middle;
    }
    const [endS, heardAt] = this.marks[low];
    return Math.max(0, (now - heardAt) / 1000 + Math.max(0, endS - atS));
  }

  #end(trouble) {
    if (this.isOver) return;
    this.isOver = true;
    this.connection?.leave();
    this.capture?.stop();
    this.admitted?.();
    this.report.ended(trouble);
  }
}

function median(values) {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}
