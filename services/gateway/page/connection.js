// One session of the native protocol (docs/protocols/native.md) over as many WebSockets as it takes. The key travels as a subprotocol, never in the address.

import { Unacknowledged } from "./unacknowledged.js";

const KEEP_ALIVE_MS = 15000;
const LAST_WORD_WITHIN_MS = 60000; // the server names a stage that does not answer well before that
const OPEN_WITHIN_MS = 15000;
const RETRY_MS = [200, 400, 800, 1600, 3000];
const PASSING = ["NOT_READY", "SHUTTING_DOWN", "TOO_MANY_SESSIONS", "OVERLOADED", "LOG_UNAVAILABLE"]; // worth another try
const MEANT = 1000; // a session whose connection ends otherwise waits for its client
const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/; // what a browser can send as a subprotocol

export function isSendable(key) {
  return KEY.test(key);
}

export class Connection {
  #key;
  #heard;
  #patienceMs;
  #socket = null;
  #token = "";
  #lastSequence = 0;
  #rateHz = 0; // of linear16; a recording in a container cannot go on in the middle
  #sent = new Unacknowledged();
  #isResumable = false;
  #isFlowing = false; // the server has said from where
  #isBroken = false;
  #isFinished = false;
  #isOver = false;
  #attempts = 0; // since the server last said something
  #refusal = null; // of the last of them
  #timers = {}; // by what they are for

  // heard(message) gets every message of the server once, {type: "reconnecting"} and {type: "reconnected"} around a break, and {type: "lost"}
  // when it could not be mended for patienceS, or not at all. After "closed", "error" and "lost" nothing comes. A "session" that comes once more
  // is a new one that begins with the same sound: nothing of the one before it had come to a result.
  constructor(key, patienceS, heard) {
    [this.#key, this.#patienceMs, this.#heard] = [key, patienceS * 1000, heard];
    this.#connect();
  }

  configure(config) {
    if (config.encoding === "linear16") this.#rateHz = config.sample_rate;
    this.#send(JSON.stringify({ type: "configure", config }));
  }

  sendAudio(piece) {
    this.#send(piece);
  }

  // Bytes that the network has not taken yet.
  get unsent() {
    return this.#socket?.bufferedAmount ?? 0;
  }

  pause() {
    this.#send(JSON.stringify({ type: "finalize" }));
    clearInterval(this.#timers.keepAlive);
    this.#timers.keepAlive = setInterval(() => this.#say({ type: "keep_alive" }), KEEP_ALIVE_MS);
  }

  resume() {
    clearInterval(this.#timers.keepAlive);
  }

  // No more audio; the last finals follow, then "closed".
  finish() {
    this.resume();
    this.#isFinished = true;
    this.#say({ type: "close_stream" });
    this.#timers.lastWord = setTimeout(() => this.#finally({ type: "lost" }), LAST_WORD_WITHIN_MS);
  }

  leave() {
    this.#isOver = true;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#disconnect(MEANT);
  }

  #connect() {
    const address = new URL("ws/v1/transcribe", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    if (this.#token) {
      address.searchParams.set("resume_token", this.#token);
      address.searchParams.set("last_sequence", this.#lastSequence);
    }
    const socket = this.#key ? new WebSocket(address, ["token", this.#key]) : new WebSocket(address);
    socket.onmessage = ({ data }) => socket === this.#socket && this.#hear(JSON.parse(data));
    socket.onclose = () => socket === this.#socket && this.#broke();
    socket.onopen = () => clearTimeout(this.#timers.opening);
    this.#timers.opening = setTimeout(() => this.#broke(), OPEN_WITHIN_MS);
    this.#socket = socket;
  }

  #disconnect(code) {
    const socket = this.#socket;
    this.#socket = null;
    this.#isFlowing = false;
    clearTimeout(this.#timers.opening);
    socket?.close(code);
  }

  #broke() {
    this.#disconnect();
    if (!this.#isResumable || !this.#rateHz) {
      this.#finally({ type: "lost" });
      return;
    }
    if (!this.#isBroken) {
      this.#isBroken = true;
      this.#timers.patience = setTimeout(() => this.#giveUp({ type: "lost" }), this.#patienceMs);
      this.#heard({ type: "reconnecting" });
    }
    const longest = RETRY_MS[Math.min(this.#attempts++, RETRY_MS.length - 1)];
    this.#timers.retry = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2)); // not all pages at the same moment
  }

  #hear(message) {
    if (message.type === "session") {
      this.#begin(message);
    } else if (message.type === "error" && this.#isResumable) {
      this.#refused(message);
    } else if (message.type === "closed" || message.type === "error") {
      this.#finally(message);
    } else {
      this.#attempts = 0;
      this.#lastSequence = message.sequence ?? this.#lastSequence;
      if (message.type === "final") this.#sent.forget(Math.floor(message.end * this.#rateHz));
      this.#heard(message);
    }
  }

  // The server knows how much of the sound it has; the rest goes out again.
  #begin(message) {
    const missing = this.#sent.from(message.audio_frames ?? 0);
    if (!missing) {
      this.#giveUp({ type: "lost" });
      return;
    }
    clearTimeout(this.#timers.patience);
    this.#token = message.resume_token ?? "";
    this.#isResumable = this.#token !== "";
    this.#isFlowing = true;
    this.#refusal = null;
    for (const data of missing) this.#socket.send(data);
    if (this.#isFinished) this.#say({ type: "close_stream" });
    if (!message.resumed) this.#heard(message);
    if (this.#isBroken) {
      this.#isBroken = false;
      this.#heard({ type: "reconnected" });
    }
  }

  #refused(message) {
    const { code } = message.error;
    if (PASSING.includes(code)) {
      this.#refusal = message;
      this.#broke();
    } else if (code === "NOT_RESUMABLE" && !this.#lastSequence && this.#sent.isFromTheBeginning) {
      this.#token = ""; // nothing of the session came to anything: begin anew
      this.#broke();
    } else if (code === "NOT_RESUMABLE") {
      this.#giveUp(message);
    } else {
      this.#finally(message);
    }
  }

  // What the server last said of itself tells a person more than that the session is gone.
  #giveUp(message) {
    this.#finally(this.#refusal ?? message);
  }

  #finally(message) {
    if (this.#isOver) return;
    this.leave();
    this.#heard(message);
  }

  #send(data) {
    if (this.#rateHz) this.#sent.add(data);
    if (this.#isFlowing) this.#socket.send(data);
  }

  #say(message) {
    if (this.#isFlowing) this.#socket.send(JSON.stringify(message));
  }
}
