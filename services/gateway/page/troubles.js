// What went wrong, in words a person can act on: [title, what to do]. Codes are those of docs/errors.md; what is not here, the server says itself.

const OF_THE_SERVER = {
  UNAUTHORIZED: ["This needs a valid API key", "Enter the key you were given, and start again. If it is right, it may have been withdrawn: ask whoever gave it to you."],
  FORBIDDEN: ["This key may not do that", "It is known, but its plan or this address does not allow what was asked for. Use another key, or ask whoever gave it to you."],
  RATE_LIMITED: ["Too many requests with this key", "Wait a minute, then try again."],
  SESSION_LIMIT: ["This key has no session left", "Stop one that is running in another window or program, then try again."],
  QUOTA_EXCEEDED: ["This key's minutes are used up", "They come back next month; a larger plan has more."],
  TOO_MANY_SESSIONS: ["The server is full", "It takes no more sessions at the moment. Try again in a minute."],
  OVERLOADED: ["The server is busy", "Results would come too late, so it takes no new sessions. Try again in a minute."],
  NOT_READY: ["The server is starting", "Try again in a few seconds."],
  SHUTTING_DOWN: ["The server is being restarted", "What was said is kept. Try again in a moment."],
  LOG_UNAVAILABLE: ["The server cannot take sound at the moment", "What was said before is kept. Try again in a moment."],
  STAGE_TIMEOUT: ["Part of the server does not answer", "What came so far stays here, and the rest is kept on the server when it is done. Try again."],
  NOT_RESUMABLE: ["The connection was away for too long", "The session has ended without what you said since then. What was said before is kept. Connect again to go on in a new one."],
  SESSION_IDLE: ["The session was closed because nothing came", "What was said is kept. Start again when you want to go on."],
  SESSION_LIFETIME: ["The longest time for one session is over", "What was said is kept. Start again to go on."],
  CLIENT_TOO_SLOW: ["This device did not keep up", "What was said is kept. Close other windows, then try again."],
  INVALID_AUDIO_FORMAT: ["This is not sound that can be read", "Choose another file: wav, flac, mp3, m4a, ogg, webm, mp4 or mkv."],
  TRUNCATED_AUDIO: ["The file breaks off", "Part of it is missing. Get it again from where it came, and send it whole."],
  EMPTY_AUDIO: ["The file is empty", "Choose another one."],
  FILE_TOO_LARGE: ["The file is too large", "Send it in parts, or as mp3 or opus."],
  AUDIO_TOO_LONG: ["The recording is too long", "Send it in parts."],
  INTERNAL: ["Something broke on the server", "It is our mistake, and it has been logged. Try again."],
};

const OF_THE_BROWSER = {
  NotAllowedError: ["The microphone is not allowed", "Allow it for this page in the browser's address bar, then try again. If the browser allows it, the system's privacy settings may not."],
  NotFoundError: ["There is no microphone", "Connect one, or choose a file instead."],
  OverconstrainedError: ["This microphone is gone", "Choose another one from the list, then try again."],
  NotReadableError: ["The microphone cannot be opened", "Another program may be using it. Close that, or choose another microphone."],
  AbortError: ["The microphone cannot be opened", "Plug it out and in again, or choose another one."],
  SecurityError: ["The browser gives no microphone to this address", "It does so only over https, or on this computer itself (localhost). Files work here too."],
  EncodingError: ["The browser cannot read this file", "Send it “as fast as possible”: the server reads more formats. Or choose another file."],
  NotSupportedError: ["This browser cannot record", "Use a current Firefox, Chrome, Edge or Safari."],
};

const OWN = {
  lost: ["The connection was lost", "What was said until then is kept. Check the network, then connect again."],
  unreachable: ["The server cannot be reached", "Check the network, and that the server runs. Then try again."],
  microphoneGone: ["The microphone went away", "What was said is kept. Connect it again, or choose another one."],
  unsendableKey: ["This is not a key", "A key has no spaces, quotes, slashes or accents. Copy it again, whole."],
  keyMissing: ["An API key is needed", "Enter the key you were given, and start again."],
  noFile: ["No file was chosen", "Choose one first."],
  fileTooLarge: OF_THE_SERVER.FILE_TOO_LARGE,
  notSaved: ["This could not be fetched", "The server has not stored it, or not yet. Try again in a moment."],
};

export class Trouble extends Error {
  constructor(code, title, remedy) {
    super(title);
    [this.code, this.title, this.remedy] = [code, title, remedy];
  }
}

export function troubleOfServer({ code, message }) {
  const [title, remedy] = OF_THE_SERVER[code] ?? ["The server refused this", message];
  return new Trouble(code, title, remedy);
}

export function troubleOf(what) {
  return new Trouble("", ...OWN[what]);
}

export function troubleOfError(error) {
  if (error instanceof Trouble) return error;
  const [title, remedy] = OF_THE_BROWSER[error.name] ?? ["Something went wrong in this page", "Load it again. If that does not help, please report it."];
  return new Trouble(error.name, title, remedy);
}
