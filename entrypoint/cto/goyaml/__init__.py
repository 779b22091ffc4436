"""YAML as Go's programs read and write it: the one reader and the one writer of all our YAML.

Helm and kubectl read with sigs.k8s.io/yaml, which is go-yaml v2 and then JSON: truth values of YAML
1.1 (`y`, `on`), numbers of both versions (`017`, `0o17`, `1_000`), neither `=` nor dates nor base
60, keys that are always text. A reader with other rules sees other data in the same file:
https://github.com/go-yaml/yaml/blob/v2/resolve.go, https://github.com/yaml/pyyaml/issues/89
"""

from yaml import MappingNode, MarkedYAMLError, Node, ScalarNode, SequenceNode, YAMLError

from cto.goyaml.reading import compose, key_of, load, load_all, load_json, scalar
from cto.goyaml.rules import JSON_TAGS, MAP, MERGE, SEQ, STR
from cto.goyaml.writing import dump, dump_flow, dump_json, serialize

__all__ = [
    "JSON_TAGS",
    "MAP",
    "MERGE",
    "SEQ",
    "STR",
    "MappingNode",
    "MarkedYAMLError",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "YAMLError",
    "compose",
    "dump",
    "dump_flow",
    "dump_json",
    "key_of",
    "load",
    "load_all",
    "load_json",
    "scalar",
    "serialize",
]
