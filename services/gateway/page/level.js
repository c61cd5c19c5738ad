// The level of the last seconds as a row of bars; one bar alone for those who want less motion.

const EVERY_MS = 50;
const TOLD_EVERY = 10; // for a screen reader, twice a second
const BAR_PX = 3;
const GAP_PX = 2;
const QUIETEST_DB = -60;

export class LevelMeter {
  #canvas;
  #levels = [];
  #source = null;
  #timer = 0;
  #ticks = 0;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  // Shows source.levelDb until null is given.
  follow(source) {
    if (source === this.#source) return;
    this.#source = source;
    clearInterval(this.#timer);
    if (source) {
      this.#timer = setInterval(() => this.#take(), EVERY_MS);
    } else {
      this.#levels = [];
      this.#tell(QUIETEST_DB);
      this.#draw();
    }
  }

  #take() {
    const level = this.#source.levelDb;
    this.#levels.push(level);
    this.#levels = this.#levels.slice(-1000);
    if (++this.#ticks % TOLD_EVERY === 0) this.#tell(Math.max(...this.#levels.slice(-TOLD_EVERY)));
    this.#draw();
  }

  #tell(level) {
    this.#canvas.setAttribute("aria-valuenow", String(Math.round(level)));
    this.#canvas.setAttribute("aria-valuetext", level <= QUIETEST_DB + 1 ? "silence" : `${Math.round(level)} dBFS`);
  }

  #draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = getComputedStyle(this.#canvas).color;
    const share = (level) => Math.max(0, (level - QUIETEST_DB) / -QUIETEST_DB);
    if (this.#calm.matches) {
      pen.fillRect(0, height / 2 - 2, width * share(this.#levels.at(-1) ?? QUIETEST_DB), 4);
      return;
    }
    const count = Math.floor(width / (BAR_PX + GAP_PX));
    for (let back = 0; back < count; back++) {
      const level = share(this.#levels.at(-1 - back) ?? QUIETEST_DB);
      const tall = Math.max(2, level * height);
      pen.globalAlpha = (0.25 + 0.75 * level) * (1 - 0.7 * (back / count));
      pen.beginPath();
      pen.roundRect(width - (back + 1) * (BAR_PX + GAP_PX) + GAP_PX, (height - tall) / 2, BAR_PX, tall, BAR_PX / 2);
      pen.fill();
    }
    pen.globalAlpha = 1;
  }
}
