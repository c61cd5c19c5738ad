"""Kubernetes objects checked against the schemas of a Kubernetes version and against custom resource definitions, strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml


class Loader(yaml.CSafeLoader):
    """Takes `=`, which YAML 1.1 gives a meaning that nobody uses, as the text it is in the Prometheus operator's definitions."""


Loader.add_constructor("tag:yaml.org,2002:value", lambda _loader, node: node.value)


class Schemas:
    """What one version of Kubernetes, with these definitions installed, takes. A field it does not know is an error."""

    def __init__(self, folder: Path, definitions: Path) -> None:
        """``folder`` has a schema a kind, as `obtaining.schemas` lays them out for a version; ``definitions`` has YAML files."""
        self._folder = folder
        self._shared = json.loads((folder / "_definitions.json").read_text())
        self._custom = {key: schema for file in definitions.glob("*.yaml") for key, schema in _custom_schemas(file.read_text())}
        self._validators: dict[tuple[str, str], Any] = {}

    def problems(self, thing: Mapping[str, Any]) -> list[str]:
        """What is wrong with an object, a line each; empty where nothing is."""
        name = f"{thing['kind']} {thing['metadata']['name']}"
        key = (thing["apiVersion"], thing["kind"])
        if key not in self._validators:
            schema = self._schema(*key)
            if schema is None:
                return [f"{name}: there is no {key[1]} in {key[0]}"]
            self._validators[key] = jsonschema_rs.validator_for(schema, retriever=lambda _uri: self._shared)
        return [f"{name}: {'/'.join(map(str, error.instance_path))}: {error.message}" for error in self._validators[key].iter_errors(thing)]

    def _schema(self, api_version: str, kind: str) -> Any:
        group, _, version = api_version.rpartition("/")
        suffix = f"{group.partition('.')[0]}-{version}" if group else version
        path = self._folder / f"{kind.lower()}-{suffix}.json"
        return json.loads(path.read_text()) if path.exists() else self._custom.get((api_version, kind))


def _custom_schemas(text: str) -> list[tuple[tuple[str, str], Any]]:
    found = []
    for document in yaml.load_all(text, Loader):  # made from the safe one
        if document and document["kind"] == "CustomResourceDefinition":
            spec = document["spec"]
            for version in spec["versions"]:
                schema = _strict(version["schema"]["openAPIV3Schema"])
                schema["properties"]["metadata"] = {"type": "object"}
                found.append(((f"{spec['group']}/{version['name']}", spec["names"]["kind"]), schema))
    return found


def _strict(schema: Any) -> Any:
    """The API server drops fields a definition does not have; here they are errors."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(value) for name, value in schema.items()}
    if isinstance(made.get("properties"), dict) and "type" in made and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made
