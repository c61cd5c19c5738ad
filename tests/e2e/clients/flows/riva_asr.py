"""NVIDIA's own client for Riva against the platform: streaming, a whole recording, the list of models. Arguments: address, WAV file."""

from __future__ import annotations

import json
import sys

import grpc
import riva.client
from riva.client.proto import riva_asr_pb2

address, path = sys.argv[1:]
service = riva.client.ASRService(riva.client.Auth(uri=address))

models = service.stub.GetRivaSpeechRecognitionConfig(riva_asr_pb2.RivaSpeechRecognitionConfigRequest())
config = riva.client.RecognitionConfig(language_code="en-US", max_alternatives=1, enable_automatic_punctuation=True, enable_word_time_offsets=True)
riva.client.add_audio_file_specs_to_config(config, path)
config.encoding = riva.client.AudioEncoding.LINEAR_PCM
riva.client.add_word_boosting_to_config(config, ["himself"], 20.0)
riva.client.add_speaker_diarization_to_config(config, True, 2)
riva.client.add_endpoint_parameters_to_config(config, 0, 0.0, 600, 0, 0.0, 0.0)

interims, finals, words = 0, [], []
with riva.client.AudioChunkFileIterator(path, 1600, riva.client.sleep_audio_length) as chunks:  # at the pace of speech
    streaming = riva.client.StreamingRecognitionConfig(config=config, interim_results=True)
    for response in service.streaming_response_generator(audio_chunks=chunks, streaming_config=streaming):
        for result in response.results:
            if result.is_final:
                finals.append(result.alternatives[0].transcript)
                words += [[word.word, word.start_time, word.end_time, word.speaker_tag] for word in result.alternatives[0].words]
            else:
                interims += 1

with open(path, "rb") as file:
    offline = service.offline_recognize(file.read(), config)

wrong = riva.client.RecognitionConfig(language_code="xx", sample_rate_hertz=16000, encoding=riva.client.AudioEncoding.LINEAR_PCM)
try:
    service.offline_recognize(bytes(32000), wrong)
    refusal = ""
except grpc.RpcError as error:
    refusal = error.code().name

print(
    json.dumps(
        {
            "languages": [model.parameters["language_code"] for model in models.model_config],
            "interims": interims,
            "finals": finals,
            "words": words,
            "offline": [result.alternatives[0].transcript for result in offline.results],
            "audio_processed": [result.audio_processed for result in offline.results],
            "refusal": refusal,
        }
    )
)
