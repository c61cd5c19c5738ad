"""Everything the doctor can say, as data: docs/operations/doctor.md is this list."""

from __future__ import annotations

from typing import Literal, NamedTuple

State = Literal["ok", "warning", "failed"]


class Sentence(NamedTuple):
    """``text`` is a template; what stands in braces is filled in, and never holds a secret."""

    check: str
    state: State
    text: str


SENTENCES: dict[str, Sentence] = {
    "BROKER_ANSWERS": Sentence("broker", "ok", "Kafka {version} answers; brokers: {brokers}."),
    "BROKER_NOT_USED": Sentence("broker", "ok", "VOXRELAY_KAFKA_BOOTSTRAP is not set: everything runs in one process and needs no broker."),
    "BROKER_SILENT": Sentence(
        "broker",
        "failed",
        "No Kafka broker answers at {bootstrap}: start it, or correct VOXRELAY_KAFKA_BOOTSTRAP (for TLS and passwords VOXRELAY_KAFKA_PROPERTIES).",
    ),
    "BROKER_OLD": Sentence("broker", "warning", "The brokers are Kafka {version}, and Voxrelay expects {oldest} or later: upgrade them."),
    "BROKERS_TOO_FEW": Sentence(
        "broker", "failed", "VOXRELAY_REPLICATION asks for {copies} copies of every topic, brokers: {brokers}: add brokers, or ask for fewer copies."
    ),
    "BROKER_SETTINGS": Sentence("broker", "failed", "The connection to Kafka cannot be made: {reason}"),
    "BROKER_LIBRARY_MISSING": Sentence("broker", "failed", "The library confluent-kafka is missing: pip install 'voxrelay[kafka]'."),
    "TOPICS_AGREE": Sentence("topics", "ok", "All {topics} topics are there, with the partitions and settings of this version."),
    "TOPICS_UNSEEN": Sentence(
        "topics", "warning", "The topics could not be looked at: bring the broker up first, or allow this user to describe topics and their settings."
    ),
    "TOPICS_MISSING": Sentence("topics", "failed", "Missing topics: {names}. Run 'voxrelay topics create'."),
    "TOPICS_OFFLINE": Sentence("topics", "failed", "Topics with partitions that have no leader: {names}. Start the brokers that hold them."),
    "TOPICS_PARTITIONS_FEWER": Sentence(
        "topics",
        "failed",
        "Fewer partitions than VOXRELAY_PARTITIONS={partitions}: {names}. Let the sessions end, then run 'voxrelay topics create'.",
    ),
    "TOPICS_PARTITIONS_MORE": Sentence(
        "topics",
        "failed",
        "More partitions than VOXRELAY_PARTITIONS={partitions}: {names}. Set it to that number for all services, then run 'voxrelay topics create'.",
    ),
    "TOPICS_REPLICATION": Sentence(
        "topics",
        "warning",
        "Fewer copies than VOXRELAY_REPLICATION={copies}: {names}. Give them more replicas with Kafka's kafka-reassign-partitions.",
    ),
    "TOPICS_CLEANUP": Sentence("topics", "failed", "Another cleanup.policy than this version needs: {names}. Run 'voxrelay topics create'."),
    "TOPICS_RETENTION": Sentence(
        "topics", "warning", "Another retention.ms than this version sets: {names}. Run 'voxrelay topics create', unless it is meant so."
    ),
    "TOPICS_SETTINGS": Sentence("topics", "warning", "Other settings than this version's: {names}. Run 'voxrelay topics create'."),
    "GROUPS_AT_WORK": Sentence("groups", "ok", "All {groups} consumer groups have members."),
    "GROUPS_UNSEEN": Sentence(
        "groups", "warning", "The consumer groups could not be looked at: bring the broker up first, or allow this user to describe groups."
    ),
    "GROUPS_EMPTY": Sentence("groups", "warning", "Nobody works in {names}: start these services."),
    "DATABASE_CURRENT": Sentence("database", "ok", "{kind} answers, takes writes and is at version {version}."),
    "DATABASE_TO_COME": Sentence("database", "ok", "There is no database in {folder} yet: 'voxrelay serve' makes it when it first starts."),
    "DATABASE_ADDRESS": Sentence(
        "database", "failed", "VOXRELAY_DATABASE_URL is not the address of a database: write it as postgresql+psycopg://user:password@host/name."
    ),
    "DATABASE_SILENT": Sentence(
        "database", "failed", "The database {address} cannot be used ({reason}): start it, or correct VOXRELAY_DATABASE_URL."
    ),
    "DATABASE_EMPTY": Sentence("database", "failed", "The database {address} has no tables yet: run 'voxrelay database migrate'."),
    "DATABASE_OLD": Sentence(
        "database", "failed", "The database is at version {version}, this Voxrelay needs {needed}: run 'voxrelay database migrate'."
    ),
    "DATABASE_NEWER": Sentence(
        "database", "failed", "The database is at version {version}, which this Voxrelay does not know: run the one that made it, or a newer one."
    ),
    "DATABASE_NOT_WRITABLE": Sentence(
        "database", "failed", "The database {address} takes no writes ({reason}): use the primary, and a user who may write."
    ),
    "OBJECTS_WORK": Sentence("objects", "ok", "{address} took a probe, gave it back and removed it."),
    "OBJECTS_ADDRESS": Sentence("objects", "failed", "The object store cannot be used ({reason}): correct VOXRELAY_OBJECT_STORE_URL."),
    "OBJECTS_SILENT": Sentence(
        "objects",
        "failed",
        "No object store answers for {address} ({reason}): start it, or correct its endpoint (AWS_ENDPOINT_URL, AZURE_…, GOOGLE_…).",
    ),
    "OBJECTS_NOT_WRITTEN": Sentence(
        "objects",
        "failed",
        "{address} takes no object ({reason}): check that the bucket exists, and the credentials and endpoint (AWS_…, GOOGLE_…, AZURE_…).",
    ),
    "OBJECTS_NOT_READ": Sentence(
        "objects", "failed", "{address} did not give the probe back ({reason}): allow reading (s3:GetObject) to these credentials."
    ),
    "OBJECTS_NOT_REMOVED": Sentence(
        "objects", "failed", "{address} did not remove the probe {name} ({reason}): allow deleting (s3:DeleteObject), or nothing can ever be deleted."
    ),
    "MODELS_WHOLE": Sentence("models", "ok", "The weights in {folder} have their checksums: {names}."),
    "MODELS_MISSING": Sentence("models", "failed", "Weights that are needed are not in {folder}: run 'voxrelay models pull {names}'."),
    "MODELS_UNKNOWN": Sentence(
        "models", "failed", "The settings name models that are not known in {folder}: {names}. 'voxrelay models list' shows which are."
    ),
    "MODELS_CORRUPT": Sentence(
        "models", "failed", "Weights in {folder} with other checksums than they should have: run 'voxrelay models pull {names}' to fetch them anew."
    ),
    "ENGINES_READY": Sentence("engines", "ok", "The libraries of all engines are there: {names}."),
    "ENGINE_UNUSABLE": Sentence("engines", "failed", "{reason}"),
    "ENGINES_SETTINGS": Sentence("engines", "failed", "A service's settings are wrong: {reason} Correct it and ask again."),
    "ENGINES_UNSEEN": Sentence(
        "engines", "failed", "The engines could not be looked at ({reason}): install the services together with the command line."
    ),
    "ENGINES_SLOW": Sentence(
        "engines",
        "failed",
        "The engines' libraries were not loaded within {seconds} s: this machine or its disk is busy; ask again with a longer --timeout.",
    ),
    "CLOCK_AGREES": Sentence("clock", "ok", "This machine's clock agrees with {other}'s within {offset_s} s."),
    "CLOCK_ALONE": Sentence("clock", "ok", "Database and objects lie on this machine: there is no other clock to agree with."),
    "CLOCK_DIFFERS": Sentence("clock", "failed", "This machine's clock is {offset_s} s away from {other}'s: set both by NTP."),
    "CLOCK_UNSEEN": Sentence("clock", "warning", "No other clock could be asked, as neither database nor object store answers: bring them up first."),
    "DISK_ROOM": Sentence("disk", "ok", "{free_gb} GB are free in {folder}."),
    "DISK_SHORT": Sentence(
        "disk", "warning", "Only {free_gb} GB are free in {folder}: make room; VOXRELAY_RETENTION_AUDIO_DAYS deletes recordings that are kept there."
    ),
    "DISK_FULL": Sentence("disk", "failed", "Only {free_gb} GB are free in {folder}: make room before anything is lost."),
    "DISK_NOT_WRITABLE": Sentence("disk", "failed", "{folder} cannot be written ({reason}): change its owner, or name another folder."),
    "MEMORY_ROOM": Sentence("memory", "ok", "{free_gb} GB of memory are free."),
    "MEMORY_SHORT": Sentence(
        "memory",
        "warning",
        "Only {free_gb} GB of memory are free, engines need about {needed_gb}: end something, or give this machine or container more.",
    ),
    "PORT_FREE": Sentence("ports", "ok", "Port {port} ({what}) is free on {host}."),
    "PORT_OURS": Sentence("ports", "ok", "Voxrelay answers at port {port} ({what}) of {host}."),
    "PORT_TAKEN": Sentence(
        "ports",
        "warning",
        "Port {port} ({what}) on {host} is taken by a program that does not answer as Voxrelay (without TLS): end it, or choose another with {setting}.",
    ),
    "PORT_UNUSABLE": Sentence(
        "ports", "failed", "Port {port} ({what}) cannot be opened on {host} ({reason}): choose another host or port with {setting}."
    ),
    "CHECK_TOO_SLOW": Sentence(
        "",
        "failed",
        "No answer within {seconds} s: this machine or what is asked is overloaded, or a firewall drops packets; ask again with a longer --timeout.",
    ),
    "CHECK_BROKE": Sentence("", "failed", "The check itself failed with {error}: please report it."),
}
