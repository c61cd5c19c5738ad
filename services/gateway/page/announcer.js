// Finals for a screen reader: gathered, so that it is not interrupted at each of them.

import { element } from "./transcript.js";

const SAID_EVERY_MS = 4000;
const KEPT = 5;

export class Announcer {
  #box;
  #waiting = [];

  constructor(box) {
    this.#box = box;
    setInterval(() => this.#say(), SAID_EVERY_MS);
  }

  add(text) {
    this.#waiting.push(text);
  }

  #say() {
    if (!this.#waiting.length) return;
    this.#box.append(element("p", "", this.#waiting.splice(0).join(". ")));
    while (this.#box.children.length > KEPT) this.#box.firstChild.remove();
  }
}
