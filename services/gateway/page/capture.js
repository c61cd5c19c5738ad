// Sound from a microphone or a file, as pieces for the wire: linear16 from an AudioWorklet, or what MediaRecorder makes where there is none.

const RECORDED = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const RECORDED_EVERY_MS = 100;
const HIGHEST_RATE_HZ = 48000; // of the platform
const FLUSH_WITHIN_MS = 1000;
const FILE_RATE_HZ = 16000; // what the platform works at: a decoded hour is 230 MB, and not 690

export class Capture {
  #context;
  #node; // where the sound comes out
  #release; // gives the microphone back
  #player = null; // of a file
  #recorder = null;
  #worklet = null;
  #flushed = null;
  #analyser;
  #wave = new Float32Array(1024);

  // ended(): the file is over, or the microphone is gone.
  ended = () => {};

  constructor(context, node, release) {
    [this.#context, this.#node, this.#release] = [context, node, release];
    this.#analyser = context.createAnalyser();
    this.#analyser.fftSize = this.#wave.length;
    node.connect(this.#analyser);
  }

  // Asks for permission. Throws what getUserMedia throws.
  static async ofMicrophone(deviceId) {
    if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("no media devices", "SecurityError");
    const context = contextOfUsableRate(); // while the click still counts: some browsers start no context later
    // The platform suppresses noise itself, where that helps recognition; doing it twice costs words.
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    if (deviceId) audio.deviceId = { exact: deviceId };
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio });
      const node = context.createMediaStreamSource(stream);
      const capture = new Capture(context, node, () => stream.getTracks().forEach((track) => track.stop()));
      stream.getAudioTracks()[0].addEventListener("ended", () => capture.ended());
      return capture;
    } catch (error) {
      context.close();
      throw error;
    }
  }

  // Throws EncodingError when the browser cannot decode it.
  static async ofFile(file, isAloud) {
    const context = contextOfUsableRate();
    try {
      const decoder = new OfflineAudioContext(1, 1, FILE_RATE_HZ);
      const buffer = await decoder.decodeAudioData(await file.arrayBuffer());
      const player = new AudioBufferSourceNode(context, { buffer });
      const capture = new Capture(context, player, () => {});
      if (isAloud) player.connect(context.destination);
      player.addEventListener("ended", () => capture.ended());
      capture.#player = player;
      return capture;
    } catch (error) {
      context.close();
      throw error;
    }
  }

  // How the pieces will be encoded, as `configure` wants to know it.
  async prepare() {
    if (typeof AudioWorkletNode === "function" && this.#context.audioWorklet) {
      await this.#context.audioWorklet.addModule(new URL("capture-worklet.js", import.meta.url));
      this.#worklet = new AudioWorkletNode(this.#context, "capture");
      return { encoding: "linear16", sample_rate: this.#context.sampleRate };
    }
    if (typeof MediaRecorder !== "function") throw new DOMException("neither AudioWorklet nor MediaRecorder", "NotSupportedError");
    const destination = this.#context.createMediaStreamDestination();
    this.#node.connect(destination);
    const mimeType = RECORDED.find((type) => MediaRecorder.isTypeSupported(type));
    this.#recorder = new MediaRecorder(destination.stream, mimeType ? { mimeType } : {});
    return { encoding: "auto" };
  }

  // Sound flows: send(piece, endS), endS being where in the whole the piece ends.
  async start(send) {
    await this.#context.resume();
    if (this.#worklet) {
      let sentS = 0;
      this.#worklet.port.onmessage = ({ data }) => {
        if (data === "flushed") return this.#flushed?.();
        sentS += data.byteLength / 2 / this.#context.sampleRate;
        return send(data, sentS);
      };
      this.#node.connect(this.#worklet);
      this.#worklet.connect(this.#context.destination); // silent; without an end the graph would not run
    } else {
      const began = this.#context.currentTime; // stands still while the context is suspended, as the recording does
      this.#recorder.ondataavailable = ({ data }) => data.size && send(data, this.#context.currentTime - began);
      this.#recorder.onstop = () => this.#flushed?.();
      this.#recorder.start(RECORDED_EVERY_MS);
    }
    this.#player?.start();
  }

  async pause() {
    if (this.#recorder?.state === "recording") this.#recorder.pause();
    await this.#context.suspend();
  }

  async resume() {
    await this.#context.resume();
    if (this.#recorder?.state === "paused") this.#recorder.resume();
  }

  // Resolves when the last piece has been sent; the microphone is free again.
  async stop() {
    this.ended = () => {};
    const flushed = new Promise((resolve) => {
      this.#flushed = resolve;
      setTimeout(resolve, FLUSH_WITHIN_MS);
    });
    if (this.#worklet) {
      this.#node.disconnect();
      this.#worklet.port.postMessage("flush");
      await flushed;
    } else if (this.#recorder && this.#recorder.state !== "inactive") {
      this.#recorder.stop();
      await flushed;
    }
    this.#release();
    if (this.#context.state !== "closed") await this.#context.close();
  }

  // The level of this moment in dBFS, -60 at least.
  get levelDb() {
    this.#analyser.getFloatTimeDomainData(this.#wave);
    const power = this.#wave.reduce((sum, sample) => sum + sample * sample, 0) / this.#wave.length;
    return Math.max(-60, 10 * Math.log10(power + 1e-12));
  }
}

function contextOfUsableRate() {
  const context = new AudioContext();
  if (context.sampleRate <= HIGHEST_RATE_HZ) return context;
  context.close();
  return new AudioContext({ sampleRate: HIGHEST_RATE_HZ });
}
