// On the audio thread: whatever comes in, mixed to one channel, out as linear16 in pieces of a twentieth of a second.
class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(Math.round(sampleRate / 20));
    this.filled = 0;
    this.port.onmessage = () => { // "flush": what is left, and then word that there is no more
      this.send();
      this.port.postMessage("flushed");
    };
  }

  send() {
    if (!this.filled) return;
    const { buffer } = this.piece.slice(0, this.filled);
    this.filled = 0;
    this.port.postMessage(buffer, [buffer]);
  }

  process([channels]) {
    const frames = channels.length ? channels[0].length : 0;
    for (let at = 0; at < frames; at++) {
      let sum = 0;
      for (const channel of channels) sum += channel[at];
      const sample = Math.max(-1, Math.min(1, sum / channels.length));
      this.piece[this.filled++] = Math.round(sample * 32767);
      if (this.filled === this.piece.length) this.send();
    }
    return true;
  }
}

registerProcessor("capture", Capture);
