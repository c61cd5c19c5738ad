"""OpenAI's own client against a gateway: arguments are its address, a file of speech, the same as raw 24 kHz samples, a call."""

import base64
import json
import sys
from pathlib import Path

import openai
from openai import OpenAI

url, speech, samples = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
RATE_HZ = 24_000
CHUNK_BYTES = RATE_HZ // 10 * 2
client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
found: dict[str, object] = {"version": openai.__version__}


def transcribe(**options):
    return client.audio.transcriptions.create(file=speech, model="whisper-1", **options)


# --- files ---

answer = transcribe(response_format="json", language="en", temperature=0.0)
found["json"] = {"text": answer.text, "seconds": answer.usage.seconds, "languages": [language.code for language in answer.languages]}
for response_format in ("text", "srt", "vtt"):
    found[response_format] = transcribe(response_format=response_format)
verbose = transcribe(response_format="verbose_json", timestamp_granularities=["word", "segment"])
found["verbose_json"] = {
    "language": verbose.language,
    "duration": verbose.duration,
    "segments": [[segment.start, segment.end, segment.text, segment.avg_logprob] for segment in verbose.segments],
    "words": [[word.word, word.start, word.end] for word in verbose.words],
}
call = Path(sys.argv[4])  # of two people
diarized = client.audio.transcriptions.create(file=call, model="gpt-4o-transcribe-diarize", response_format="diarized_json", chunking_strategy="auto")
found["diarized_json"] = [[segment.type, segment.speaker, segment.text] for segment in diarized.segments]
vad = {"type": "server_vad", "silence_duration_ms": 400, "threshold": 0.5, "prefix_padding_ms": 200}
with_logprobs = transcribe(response_format="json", include=["logprobs"], chunking_strategy=vad, prompt="Zyntrix, Kenobi")
found["logprobs"] = [[entry.token, entry.logprob] for entry in with_logprobs.logprobs]
found["logprobs_text"] = with_logprobs.text
found["stream"] = [
    [event.type, getattr(event, "delta", None) or getattr(event, "text", None)] for event in transcribe(response_format="json", stream=True)
]
found["diarized_stream"] = [event.type for event in transcribe(response_format="diarized_json", stream=True)]


# --- errors ---


def refusal(call):
    try:
        call()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.type, error.param, error.code, error.message]
    raise AssertionError("this must be refused")


found["translation"] = refusal(lambda: client.audio.translations.create(file=speech, model="whisper-1"))
found["unknown_language"] = refusal(lambda: transcribe(language="tlh"))
found["known_speakers"] = refusal(lambda: transcribe(known_speaker_names=["agent"], known_speaker_references=["data:audio/wav;base64,AAAA"]))
found["keywords"] = transcribe(keywords=["Kenobi"], languages=["en"]).text


# --- realtime ---


def append(connection, pcm):
    for at in range(0, len(pcm), CHUNK_BYTES):
        connection.input_audio_buffer.append(audio=base64.b64encode(pcm[at : at + CHUNK_BYTES]).decode())


def spoken(connection, is_last):
    """Events up to the completed one of which ``is_last`` is true; deltas and transcripts by item."""
    kinds, deltas, transcripts = [], {}, {}
    for event in connection:
        kinds.append(event.type)
        if event.type.endswith("transcription.delta"):
            deltas[event.item_id] = deltas.get(event.item_id, "") + event.delta
        elif event.type.endswith("transcription.completed"):
            transcripts[event.item_id] = event.transcript
            if is_last(event):
                return {"kinds": kinds, "deltas": [deltas.get(item_id, "") for item_id in transcripts], "transcripts": list(transcripts.values())}
        elif event.type == "error":
            raise AssertionError(event.error.message)
    raise AssertionError("the connection ended")


pcm = samples.read_bytes() + bytes(2 * RATE_HZ * 2)
total_s = round(len(pcm) / 2 / RATE_HZ, 3)
with client.realtime.connect(extra_query={"intent": "transcription"}) as connection:
    session = {
        "type": "transcription",
        "include": ["item.input_audio_transcription.logprobs"],
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": RATE_HZ},
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "gpt-4o-transcribe", "language": "en", "delay": "medium"},
                "turn_detection": {"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 400},
            }
        },
    }
    connection.session.update(session=session)
    append(connection, pcm)
    connection.input_audio_buffer.commit()  # nobody speaks: an empty item behind all others
    found["realtime"] = spoken(connection, lambda event: event.usage.seconds == total_s)
    connection.input_audio_buffer.clear()
    connection.input_audio_buffer.commit()
    kinds = [connection.recv() for _ in range(3)]
    found["after_clear"] = [kinds[0].type, kinds[1].type, getattr(kinds[2], "error", None) and kinds[2].error.code]

secret = client.realtime.client_secrets.create(
    expires_after={"anchor": "created_at", "seconds": 60},
    session={"type": "transcription", "audio": {"input": {"turn_detection": None, "transcription": {"model": "gpt-realtime-whisper"}}}},
)
found["secret"] = [secret.value[:3], type(secret.session).__name__, secret.session.audio.input.turn_detection]
with OpenAI(base_url=f"{url}/v1", api_key=secret.value).realtime.connect(extra_query={"intent": "transcription"}) as connection:
    append(connection, pcm)
    connection.input_audio_buffer.commit()
    found["committed"] = spoken(connection, lambda event: True)

print(json.dumps(found))
