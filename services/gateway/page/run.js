// One session from its first sound to the server's last word: the capture, the connection, and how late results are.

import { Capture } from "./capture.js";
import { Connection } from "./connection.js";
import { troubleOf, troubleOfError, troubleOfServer } from "./troubles.js";

const LAGS_KEPT = 20;

export class LiveRun {
  // open() resolves with a Capture; patienceS is how long a broken connection is tried again. report has state(name), message(message) and
  // ended(trouble or null); it is called in that order, ended once.
  constructor(open, key, config, patienceS, report) {
    [this.open, this.key, this.config, this.patienceS, this.report] = [open, key, config, patienceS, report];
    this.capture = this.connection = null;
    this.sentS = 0;
    this.marks = []; // [end in the sound, when it was heard], rising
    this.delays = [];
    this.lags = [];
    this.isOver = false;
    this.isClosing = false;
    this.isFlowing = false;
    this.isPaused = false;
    this.isReconnecting = false;
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
        this.connection = new Connection(this.key, this.patienceS, (message) => this.#hear(message));
      });
      if (this.isOver) return;
      this.connection.configure({ ...this.config, ...encoding });
      capture.ended = () => this.stop(this.ofMicrophone ? troubleOf("microphoneGone") : null);
      await capture.start((piece, endS) => this.#send(piece, endS));
      this.isFlowing = true;
      this.#tellState();
    } catch (error) {
      this.#end(troubleOfError(error));
    }
  }

  async pause() {
    this.isPaused = true;
    this.#tellState();
    await this.capture.pause();
    this.connection.pause();
  }

  async resume() {
    await this.capture.resume();
    this.connection.resume();
    this.isPaused = false;
    this.#tellState();
  }

  configure(change) {
    this.connection.configure(change);
  }

  // Before any sound it cancels; after that the last words are waited for. Asked once more while there is no connection, it gives them up.
  async stop(trouble = null) {
    if (!this.sentS || (this.isClosing && this.isReconnecting)) this.#end(trouble);
    if (this.isOver || this.isClosing) return;
    this.isClosing = true;
    this.trouble = trouble;
    this.#tellState();
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
    } else if (message.type === "reconnecting" || message.type === "reconnected") {
      this.isReconnecting = message.type === "reconnecting";
      this.#tellState();
    } else {
      this.report.message(message);
    }
  }

  #tellState() {
    if (this.isOver) return;
    if (this.isReconnecting) this.report.state("reconnecting");
    else if (this.isClosing) this.report.state("closing");
    else if (this.isPaused) this.report.state("paused");
    else if (this.isFlowing) this.report.state("live");
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
