// Calls that are not live: a file at once, the stored session, its exports. The key travels in a header.

import { troubleOf, troubleOfServer } from "./troubles.js";

const LOOK_AFTER_MS = [200, 300, 600, 1200, 2400, 4000]; // asked for sooner, it is not there yet
export const EXPORTS = { txt: "Text", srt: "Subtitles", json: "JSON" };

function headers(key) {
  return key ? { Authorization: `Token ${key}` } : {};
}

function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
  return url;
}

export async function facts() {
  const answer = await fetch(address("page/facts.json"));
  return answer.json();
}

// The stored session, as soon as it is complete; null when nothing is stored, or it does not become complete.
export async function stored(sessionId, key) {
  for (const wait of LOOK_AFTER_MS) {
    await new Promise((resolve) => setTimeout(resolve, wait));
    const answer = await fetch(address(`api/sessions/${sessionId}`), { headers: headers(key) }).catch(() => null);
    if (answer?.ok) {
      const session = await answer.json();
      if (session.session.is_complete) return session;
    } else if (answer && answer.status !== 404) {
      return null;
    }
  }
  return null;
}

// Hands the export to the browser as a download. Throws a Trouble.
export async function save(sessionId, format, key) {
  const answer = await fetch(address(`api/sessions/${sessionId}/export`, { format }), { headers: headers(key) }).catch(() => null);
  if (!answer?.ok) throw troubleOf("notSaved");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = `voxrelay-${sessionId.slice(0, 8)}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

// One file, whole: progress(share) while it is sent, 1 when the server has it all. Resolves with the answer, throws a Trouble, or null when aborted.
export function process(file, options, key, progress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch tells nothing of what has been sent
    request.open("POST", address("api/process", options));
    for (const [name, value] of Object.entries(headers(key))) request.setRequestHeader(name, value);
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => progress(loaded / (total || 1));
    request.upload.onload = () => progress(1);
    request.onload = () => {
      if (request.status === 200 && request.response) resolve(request.response);
      else reject(request.response?.error ? troubleOfServer(request.response.error) : troubleOf("lost"));
    };
    request.onerror = () => reject(troubleOf("unreachable"));
    request.onabort = () => resolve(null);
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}
