// The page: what is chosen, what is shown, and one run at a time.

import { Announcer } from "./announcer.js";
import { Capture } from "./capture.js";
import { isSendable } from "./connection.js";
import { LevelMeter } from "./level.js";
import { LiveRun } from "./run.js";
import { EXPORTS, facts, process, save, stored } from "./saved.js";
import { clock, element, nameOf, Transcript } from "./transcript.js";
import { troubleOf, troubleOfError } from "./troubles.js";

const STATUS = {
  idle: "Ready",
  asking: "Waiting for the microphone",
  connecting: "Connecting",
  live: "Listening",
  paused: "Paused",
  reconnecting: "Reconnecting… what is said is kept",
  closing: "Waiting for the last words",
  sending: "Sending the file",
  working: "The server is working",
};
const STARTS = { idle: "Start", live: "Stop", paused: "Stop", reconnecting: "Stop", closing: "Finishing", asking: "Cancel", connecting: "Cancel", sending: "Cancel", working: "Cancel" };
const DELAY_IS = "From the end of an utterance's sound to its final words on this page. The silence that tells the server that it is over is in it. The middle of all so far.";
const LAG_IS = "From the last sound that unfinished words cover to their arrival on this page. The middle of the last twenty.";
const FIGURES_EVERY_MS = 250;
const SLOW_NETWORK_S = 3;
const PATIENCE_BEYOND_S = 10; // the server notices a broken connection later than the page, and waits from then on
const NEAR_THE_END_PX = 120;

const $ = (id) => document.getElementById(id);
const page = { state: "idle", run: null, known: { attributes: {}, languages: [] }, session: null, abort: null };
const meter = new LevelMeter($("level"));
const announcer = new Announcer($("announcer"));

// --- what is chosen ---

function isFromFile() {
  return $("from-file").checked;
}

function isFast() {
  return isFromFile() && $("pace").value === "fast";
}

// Throws a Trouble where it cannot be a key, or one is needed and there is none.
function key() {
  const given = $("key").value.trim();
  if (!given && page.known.is_key_needed) throw troubleOf("keyMissing");
  if (given && !isSendable(given)) throw troubleOf("unsendableKey");
  return given;
}

function terms() {
  return $("vocabulary").value.split(",").map((term) => term.trim()).filter(Boolean);
}

// As `configure` takes them; what is left to the server is not there.
function options() {
  const chosen = {
    diarize: $("diarize").checked,
    attributes: $("attributes").checked,
    keep_audio: $("keep-audio").checked,
    custom_vocabulary: terms(),
  };
  if ($("language").value) chosen.language = $("language").value;
  if ($("noise").value) chosen.noise_suppression = Number($("noise").value);
  if ($("diarize").checked && $("speakers").value) chosen.num_speakers = Number($("speakers").value);
  return chosen;
}

// --- what is shown ---

function show(state) {
  page.state = document.body.dataset.state = state;
  const isRunning = state === "live" || state === "paused" || state === "reconnecting";
  const isIdle = state === "idle";
  $("status").textContent = state === "asking" && isFromFile() ? "Reading the file" : state === "live" && isFromFile() ? "Playing the file" : STATUS[state];
  $("start").textContent = STARTS[state];
  $("start").disabled = state === "closing";
  $("pause").hidden = !isRunning || state === "reconnecting";
  $("pause").textContent = state === "paused" ? "Continue" : "Pause";
  $("progress").hidden = state !== "sending" && state !== "working";
  for (const field of document.querySelectorAll("#source input, #source select, #options input, #options select, #key")) {
    field.disabled = !isIdle && !(field.id === "vocabulary" && isRunning);
  }
  if (state === "asking" || state === "sending") toggleOptions(false);
  document.title = isRunning ? `${STATUS[state]} · Voxrelay` : "Voxrelay";
  meter.follow(state === "live" || state === "reconnecting" ? page.run : null);
  showSource();
}

function toggleOptions(isOpen) {
  $("options").hidden = !isOpen;
  $("options-toggle").setAttribute("aria-expanded", String(isOpen));
}

function showSource() {
  document.body.dataset.source = isFromFile() ? "file" : "microphone";
  $("aloud-field").hidden = isFast();
  $("speakers").disabled = page.state !== "idle" || !$("diarize").checked;
}

function showTrouble(trouble) {
  $("trouble").hidden = true; // so that the same one is said again
  if (trouble.code === "UNAUTHORIZED" || trouble.code === "FORBIDDEN" || $("key").value) $("key-field").hidden = false;
  $("trouble-title").textContent = trouble.title;
  $("trouble-remedy").textContent = trouble.remedy;
  $("trouble-code").textContent = trouble.code;
  const isLost = trouble.title === troubleOf("lost").title || trouble.code === "NOT_RESUMABLE";
  $("trouble-again").textContent = isLost ? "Connect again" : "Try again";
  $("trouble").hidden = false;
  if (trouble.code === "UNAUTHORIZED") $("key").focus();
  else $("trouble-again").focus();
}

function dismissTrouble() {
  $("trouble").hidden = true;
}

function seconds(value) {
  return value === null ? "–" : `${value.toFixed(value < 10 ? 1 : 0)}\u202fs`;
}

function showFigures() {
  const { run } = page;
  if (!run) return;
  $("elapsed").textContent = clock(run.sentS);
  $("delay").textContent = seconds(run.delayS);
  $("lag").textContent = seconds(run.lagS);
  if (page.state === "live") {
    const behind = run.unsentS;
    const said = behind > SLOW_NETWORK_S ? `The network is slow: ${Math.round(behind)} s behind` : isFromFile() ? "Playing the file" : STATUS.live;
    if ($("status").textContent !== said) $("status").textContent = said;
  }
}

// --- words ---

function isNearTheEnd() {
  return document.documentElement.scrollHeight - window.innerHeight - window.scrollY < NEAR_THE_END_PX;
}

// Keeps the newest words in sight, unless somebody is reading further up.
function keepingPlace(change) {
  const wasNear = isNearTheEnd();
  change();
  if (wasNear) window.scrollTo(0, document.documentElement.scrollHeight);
  $("newest").hidden = isNearTheEnd() || page.state === "idle";
}

function beginSession(sessionId) {
  $("welcome").hidden = true;
  page.session?.node.remove(); // one that came to nothing before its connection broke
  const node = element("section", "session");
  node.dataset.session = sessionId;
  node.setAttribute("aria-label", `Session of ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`);
  const list = element("ol", "utterances");
  node.append(list);
  page.session = { id: sessionId, node, transcript: new Transcript(list, page.known.attributes) };
  keepingPlace(() => $("sessions").append(node));
}

// What it came to, and what can be taken away.
function endSession(audioS, usedKey, run = null) {
  const { session } = page;
  page.session = null;
  if (!session) return;
  session.transcript.dropInterims();
  const footer = element("footer", "summary");
  const said = element("p", "");
  footer.append(said);
  const summarize = (note = "") => {
    const { utterances } = session.transcript;
    const words = utterances.reduce((sum, { words: of, transcript }) => sum + (of?.length || transcript.split(" ").filter(Boolean).length), 0);
    const speakers = new Set(utterances.flatMap(({ words: of, speaker }) => (of?.length ? of.map((word) => word.speaker) : [speaker])).filter(Boolean));
    const parts = [`${clock(audioS)} of sound`, count(words, "word")];
    if (speakers.size) parts.push(count(speakers.size, "speaker"));
    if (run && run.delayS !== null) parts.push(`${seconds(run.delayS)} delay`);
    if (note) parts.push(note);
    said.textContent = words ? parts.join(" · ") : `${clock(audioS)} of sound, and nothing was said in it.`;
  };
  summarize();
  if (page.known.are_results_stored && audioS) {
    session.stored = stored(session.id, usedKey).then((found) => {
      const revised = found ? takeOver(session.transcript, found.utterances) : 0;
      if (revised) summarize("speakers as they were found last");
      node.dataset.stored = found ? "complete" : "unknown";
    });
    const actions = element("div", "actions");
    for (const [format, label] of Object.entries(EXPORTS)) {
      const button = element("button", "plain", label);
      button.type = "button";
      button.setAttribute("aria-label", `Save as ${label}`);
      button.dataset.format = format;
      button.addEventListener("click", () => saveAs(session, format, usedKey));
      actions.append(button);
    }
    actions.prepend(element("span", "", "Save as"));
    footer.append(actions);
  }
  const { node } = session;
  keepingPlace(() => node.append(footer));
}

// Speakers may be revised after an utterance's final; what is stored has the last word. Returns how many utterances differ.
function takeOver(transcript, utterances) {
  const before = new Map(transcript.utterances.map((message) => [message.utterance_id, message]));
  const speakersOf = ({ speaker, words }) => JSON.stringify([speaker, (words ?? []).map((word) => word.speaker)]);
  const revised = utterances.filter((found) => before.has(found.utterance_id) && speakersOf(before.get(found.utterance_id)) !== speakersOf(found));
  for (const utterance of revised) transcript.final(utterance);
  return revised.length;
}

async function saveAs(session, format, usedKey) {
  try {
    await session.stored; // until then part of it may be missing
    await save(session.id, format, usedKey);
  } catch (error) {
    showTrouble(troubleOfError(error));
  }
}

function count(number, what) {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function announce(message) {
  if (message.transcript) announcer.add(`${message.speaker ? `${nameOf(message.speaker)}: ` : ""}${message.transcript}`);
}

// --- runs ---

function start() {
  dismissTrouble();
  try {
    const usedKey = key();
    if (isFromFile() && !$("file").files.length) throw troubleOf("noFile");
    if (isFast()) startFast(usedKey);
    else startLive(usedKey);
  } catch (error) {
    showTrouble(troubleOfError(error));
    if (error.title === troubleOf("keyMissing").title) $("key").focus();
  }
}

function startLive(usedKey) {
  const [file, isAloud, device] = [$("file").files[0], $("aloud").checked, $("device").value];
  const open = isFromFile() ? () => Capture.ofFile(file, isAloud) : () => Capture.ofMicrophone(device);
  const run = new LiveRun(open, usedKey, options(), (page.known.resume_s ?? 0) + PATIENCE_BEYOND_S, {
    state(state) {
      show(state);
      if (state === "connecting") listDevices();
    },
    message(message) {
      if (message.type === "session") beginSession(message.session_id);
      else if (message.type === "interim") keepingPlace(() => page.session.transcript.interim(message));
      else if (message.type === "final") {
        keepingPlace(() => page.session.transcript.final(message));
        announce(message);
      }
    },
    ended(trouble) {
      showFigures();
      page.run = null;
      show("idle");
      endSession(run.sentS, usedKey, run);
      if (trouble) showTrouble(trouble);
    },
  });
  run.ofMicrophone = !isFromFile();
  page.run = run;
  for (const figure of ["delay", "lag"]) $(figure).textContent = "–";
  run.start();
}

async function startFast(usedKey) {
  const file = $("file").files[0];
  const { known } = page;
  page.abort = new AbortController();
  show("sending");
  const bar = $("progress-bar");
  bar.value = 0;
  $("progress-label").textContent = STATUS.sending;
  const progress = (share) => {
    if (share < 1) bar.value = share;
    else {
      bar.removeAttribute("value"); // how far the server is, it does not say
      $("progress-label").textContent = STATUS.working;
      show("working");
    }
  };
  let trouble = null;
  try {
    if (known.max_file_bytes && file.size > known.max_file_bytes) throw troubleOf("fileTooLarge");
    const answer = await process(file, { ...options(), custom_vocabulary: terms().join(",") }, usedKey, progress, page.abort.signal);
    if (answer) {
      beginSession(answer.session_id);
      for (const utterance of answer.utterances) page.session.transcript.final(utterance);
      announcer.add(`The file is done: ${count(answer.utterances.length, "utterance")}`);
      endSession(answer.audio_seconds, usedKey);
    }
  } catch (error) {
    trouble = troubleOfError(error);
  }
  page.abort = null;
  show("idle");
  if (trouble) showTrouble(trouble);
}

function startOrStop() {
  if (page.state === "idle") start();
  else if (page.abort) page.abort.abort();
  else page.run?.stop();
}

function pauseOrContinue() {
  if (page.state === "live") page.run.pause();
  else if (page.state === "paused") page.run.resume();
}

// --- devices and files ---

async function listDevices() {
  const devices = (await navigator.mediaDevices?.enumerateDevices?.().catch(() => [])) ?? [];
  const named = devices.filter(({ kind, deviceId, label }) => kind === "audioinput" && label && deviceId && deviceId !== "default");
  const chosen = $("device").value;
  const choices = named.map(({ deviceId, label }) => new Option(label, deviceId));
  $("device").replaceChildren(new Option("Default microphone", ""), ...choices);
  if (named.some(({ deviceId }) => deviceId === chosen)) $("device").value = chosen;
}

function showFileName() {
  $("file-name").textContent = $("file").files[0]?.name ?? "Choose a file";
}

function takeDropped(event) {
  event.preventDefault();
  if (page.state !== "idle" || !event.dataTransfer.files.length) return;
  $("file").files = event.dataTransfer.files;
  $("from-file").checked = true;
  showFileName();
  showSource();
}

function nameLanguages() {
  const names = new Intl.DisplayNames(["en"], { type: "language" });
  for (const tag of page.known.languages) $("language").append(new Option(names.of(tag), tag));
}

// --- all together ---

async function begin() {
  $("start").addEventListener("click", startOrStop);
  $("pause").addEventListener("click", pauseOrContinue);
  $("options-toggle").addEventListener("click", () => toggleOptions($("options").hidden));
  $("trouble-again").addEventListener("click", start);
  $("trouble-dismiss").addEventListener("click", () => {
    dismissTrouble();
    $("start").focus();
  });
  $("newest").addEventListener("click", () => window.scrollTo(0, document.documentElement.scrollHeight));
  for (const id of ["from-microphone", "from-file", "pace", "diarize"]) $(id).addEventListener("change", showSource);
  $("file").addEventListener("change", showFileName);
  $("vocabulary").addEventListener("change", () => page.run?.configure({ custom_vocabulary: terms() }));
  $("key").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && page.state === "idle") start();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") dismissTrouble();
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey) || event.repeat) return;
    event.preventDefault();
    if (event.shiftKey) pauseOrContinue();
    else startOrStop();
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", takeDropped);
  window.addEventListener("scroll", () => ($("newest").hidden = isNearTheEnd() || page.state === "idle"), { passive: true });
  navigator.mediaDevices?.addEventListener?.("devicechange", listDevices);
  $("delay-figure").title = DELAY_IS;
  $("lag-figure").title = LAG_IS;
  setInterval(showFigures, FIGURES_EVERY_MS);
  show("idle");
  listDevices();
  try {
    page.known = await facts();
  } catch {
    showTrouble(troubleOf("unreachable"));
  }
  $("key-field").hidden = !page.known.is_key_needed;
  nameLanguages();
  document.body.dataset.ready = "yes";
}

begin();
