// One session's words on the page. All text is set as text, never as markup.

const SPEAKER_COLOURS = 8; // style.css has them

// What stands first under an utterance; the rest is one step away.
const FOREMOST = ["pitch_hz", "energy_dbfs", "speaking_rate", "sentiment"];
const LABELS = {
  pitch_hz: "pitch",
  pitch_mean_hz: "mean pitch",
  pitch_range_semitones: "pitch range",
  gender: "voice sounds",
  energy_dbfs: "level",
  snr_db: "above noise",
  speaking_rate: "pace",
  articulation_rate: "articulation",
  hnr_db: "harmonicity",
  sentiment: "mood",
  sentiment_score: "mood score",
  words_per_minute: "words",
};
const UNITS = { "words/min": "/min", semitones: "st", "syllables/s": "syll/s" };

export class Transcript {
  #list;
  #attributes; // what each attribute means
  #items = new Map();

  constructor(list, attributes) {
    [this.#list, this.#attributes] = [list, attributes];
  }

  get utterances() {
    return [...this.#items.values()].filter((item) => item.message).map((item) => item.message);
  }

  interim(message) {
    const item = this.#item(message.utterance_id);
    if (item.message || item.isVoid || !message.transcript) return; // a final never changes
    const said = element("p", "said", message.transcript);
    const turn = element("div", "turn");
    turn.append(gutter("", message.start), said);
    item.node.dataset.standing = "interim";
    item.node.replaceChildren(turn);
  }

  final(message) {
    const item = this.#item(message.utterance_id);
    item.message = message;
    item.node.dataset.standing = "final";
    this.#voidBefore(item);
    const turns = turnsOf(message).map(({ speaker, start, text }) => {
      const turn = element("div", "turn");
      turn.dataset.speaker = colourOf(speaker);
      turn.append(gutter(speaker, start), element("p", "said", text));
      return turn;
    });
    item.node.replaceChildren(...turns);
    const chips = this.#chips(message.attributes ?? {});
    if (chips) turns.at(-1).append(chips);
    this.#nameSpeakersOnce();
  }

  // What was never finished is no result.
  dropInterims() {
    this.#voidBefore(null);
  }

  // Finals come in order, and none for an utterance in which no words were found after all: its interim words go.
  #voidBefore(final) {
    for (const item of this.#items.values()) {
      if (item === final) return;
      if (item.message) continue;
      item.isVoid = true;
      item.node.remove();
    }
  }

  // A name stands where somebody begins to speak; below it, while they go on, it is only there for those who do not see the colour.
  #nameSpeakersOnce() {
    let before = null;
    for (const name of this.#list.querySelectorAll(".speaker")) {
      name.classList.toggle("unseen", name.textContent === before);
      before = name.textContent;
    }
  }

  #item(id) {
    let item = this.#items.get(id);
    if (!item) {
      item = { node: element("li", "utterance"), message: null, isVoid: false };
      item.node.dataset.utterance = id;
      this.#items.set(id, item);
      this.#list.append(item.node);
    }
    return item;
  }

  #chips(attributes) {
    const names = Object.keys(attributes);
    if (!names.length) return null;
    const first = FOREMOST.filter((name) => name in attributes);
    const rest = names.filter((name) => !first.includes(name));
    const box = element("div", "attributes");
    box.append(this.#listOf(first.length ? first : rest, attributes));
    if (first.length && rest.length) {
      const more = element("details", "");
      more.append(element("summary", "", `${rest.length} more`), this.#listOf(rest, attributes));
      box.append(more);
    }
    return box;
  }

  #listOf(names, attributes) {
    const list = element("ul", "chips");
    for (const name of names) {
      const { value, unit, confidence } = attributes[name];
      const chip = element("li", "chip");
      const meaning = this.#attributes[name]?.meaning ?? name;
      const explained = `${meaning}; confidence ${Math.round(confidence * 100)} %`;
      chip.title = explained;
      chip.dataset.attribute = name;
      chip.append(element("span", "name", LABELS[name] ?? name.replaceAll("_", " ")), " ", element("span", "value", shown(value, unit)));
      chip.append(element("span", "unseen", ` (${explained})`));
      list.append(chip);
    }
    return list;
  }
}

export function element(tag, classes, text) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function clock(seconds) {
  const whole = Math.floor(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, String(whole % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

export function nameOf(speaker) {
  return speaker ? speaker.replace(/^S(\d+)$/, "Speaker $1") : "";
}

function colourOf(speaker) {
  const number = Number(/\d+$/.exec(speaker ?? "")?.[0] ?? 0);
  return number ? String((number - 1) % SPEAKER_COLOURS + 1) : "0";
}

function gutter(speaker, start) {
  const box = element("p", "who");
  if (speaker) box.append(element("span", "speaker", nameOf(speaker)), " ");
  box.append(element("time", "", clock(start)));
  return box;
}

// Stretches of one speaker each, as the exports have them.
function turnsOf(message) {
  const words = message.words ?? [];
  if (!words.length) return [{ speaker: message.speaker, start: message.start, text: message.transcript }];
  const turns = [];
  for (const word of words) {
    const last = turns.at(-1);
    if (last && last.speaker === word.speaker) last.text += ` ${word.word}`;
    else turns.push({ speaker: word.speaker, start: word.start, text: word.word });
  }
  if (turns.length === 1) turns[0].text = message.transcript;
  return turns;
}

function shown(value, unit) {
  if (typeof value !== "number") return String(value);
  const digits = Math.abs(value) >= 10 ? 0 : Math.abs(value) >= 1 ? 1 : 2;
  const number = value.toFixed(digits).replace("-", "−");
  const short = UNITS[unit] ?? unit ?? "";
  return short ? `${number}\u202f${short}` : number;
}
