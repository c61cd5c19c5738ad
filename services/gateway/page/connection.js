// One session of the native protocol (docs/protocols/native.md). The key travels as a subprotocol, never in the address.

const KEEP_ALIVE_MS = 15000;
const LAST_WORD_WITHIN_MS = 60000; // the server names a stage that does not answer well before that
const KEY = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/; // what a browser can send as a subprotocol

export function isSendable(key) {
  return KEY.test(key);
}

export class Connection {
  #socket;
  #heard;
  #keepingAlive = 0;
  #waiting = 0;
  #isOver = false;

  // heard(message) gets every message of the server, and {type: "lost"} when the connection ends without "closed" or "error".
  constructor(key, heard) {
    this.#heard = heard;
    const address = new URL("ws/v1/transcribe", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.#socket = key ? new WebSocket(address, ["token", key]) : new WebSocket(address);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    this.#socket.onclose = () => this.#hear({ type: "lost" });
  }

  configure(config) {
    this.#say({ type: "configure", config });
  }

  sendAudio(piece) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(piece);
  }

  // Bytes that the network has not taken yet.
  get unsent() {
    return this.#socket.bufferedAmount;
  }

  pause() {
    this.#say({ type: "finalize" });
    clearInterval(this.#keepingAlive);
    this.#keepingAlive = setInterval(() => this.#say({ type: "keep_alive" }), KEEP_ALIVE_MS);
  }

  resume() {
    clearInterval(this.#keepingAlive);
  }

  // No more audio; the last finals follow, then "closed".
  finish() {
    this.resume();
    this.#say({ type: "close_stream" });
    this.#waiting = setTimeout(() => this.#socket.close(), LAST_WORD_WITHIN_MS);
  }

  leave() {
    this.#isOver = true;
    this.#end();
  }

  #say(message) {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  #hear(message) {
    if (this.#isOver) return;
    if (["closed", "error", "lost"].includes(message.type)) {
      this.#isOver = true;
      this.#end();
    }
    this.#heard(message);
  }

  #end() {
    clearInterval(this.#keepingAlive);
    clearTimeout(this.#waiting);
    this.#socket.close();
  }
}
