// What was sent and may not have arrived: pieces of linear16, mono, and the messages that stood between them.

const MOST_BYTES = 30000000; // five minutes at 48 kHz; what is older has arrived, or the connection would have broken long ago

export class Unacknowledged {
  #items = []; // {at, frames, data}: `at` frames of the session stood before it, rising; a message has none of its own
  #frames = 0;
  #bytes = 0;
  #goneBefore = 0;

  add(data) {
    const frames = typeof data === "string" ? 0 : data.byteLength / 2;
    this.#items.push({ at: this.#frames, frames, data });
    this.#frames += frames;
    this.#bytes += frames * 2;
    while (this.#bytes > MOST_BYTES) this.#drop();
  }

  // Audio before this frame is on the server's log.
  forget(frame) {
    while (this.#items.length && hasArrived(this.#items[0], frame)) this.#drop();
  }

  #drop() {
    const { at, frames } = this.#items.shift();
    this.#bytes -= frames * 2;
    this.#goneBefore = at + frames;
  }

  get isFromTheBeginning() {
    return this.#goneBefore === 0;
  }

  // Everything from this frame on, in order; null when some of it is gone.
  from(frame) {
    if (frame < this.#goneBefore || frame > this.#frames) return null;
    const missing = this.#items.filter((item) => !hasArrived(item, frame));
    return missing.map(({ at, data }) => (at < frame ? data.slice((frame - at) * 2) : data));
  }
}

// A message at the very frame may have come or not; to have it twice does no harm.
function hasArrived({ at, frames }, frame) {
  return frames ? at + frames <= frame : at < frame;
}
