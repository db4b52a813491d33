"""The three kinds of patches, against the examples of their specifications and of Kubernetes' documentation."""

import pytest

from local_cluster.errors import ApiError
from local_cluster.patches import json_patched, merge_patched
from local_cluster.strategic import strategic_merged


@pytest.mark.parametrize(  # RFC 7386, appendix A, as far as it is about objects
    ("value", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(value, patch, expected):
    assert merge_patched(value, patch) == expected


@pytest.mark.parametrize(  # RFC 6902, appendix A
    ("value", "operation", "expected"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a", "c"]}, {"op": "add", "path": "/foo/1", "value": "b"}, {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, {"op": "add", "path": "/foo/-", "value": ["b"]}, {"foo": ["a", ["b"]]}),
        ({"baz": 1, "foo": 2}, {"op": "remove", "path": "/baz"}, {"foo": 2}),
        ({"foo": ["a", "b"]}, {"op": "remove", "path": "/foo/1"}, {"foo": ["a"]}),
        ({"baz": 1}, {"op": "replace", "path": "/baz", "value": 2}, {"baz": 2}),
        ({"a": {"x": 1}, "b": {}}, {"op": "move", "from": "/a/x", "path": "/b/y"}, {"a": {}, "b": {"y": 1}}),
        ({"a": [1]}, {"op": "copy", "from": "/a/0", "path": "/b"}, {"a": [1], "b": 1}),
        ({"~1/": 10}, {"op": "test", "path": "/~01~1", "value": 10}, {"~1/": 10}),
        ({"": 1}, {"op": "replace", "path": "/", "value": 2}, {"": 2}),
    ],
)
def test_json_patches(value, operation, expected):
    assert json_patched(value, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a", "value": 2},
        {"op": "test", "path": "/none", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "add", "path": "/b/c", "value": 1},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "wish", "path": "/a"},
        {"path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        7,
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused_as_a_whole(operation):
    value = {"a": 1, "list": []}
    with pytest.raises(ApiError) as error:
        json_patched(value, [{"op": "replace", "path": "/a", "value": 1}, operation])
    assert (error.value.code, value) == (422, {"a": 1, "list": []})


NGINX = {"name": "nginx", "image": "nginx"}


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [
        (  # kubernetes.io, "Update API Objects in Place Using kubectl patch": a container more, a toleration less
            {"containers": [NGINX], "tolerations": [{"key": "dedicated"}]},
            {"containers": [{"name": "redis", "image": "redis"}], "tolerations": [{"key": "disktype"}]},
            {"containers": [NGINX, {"name": "redis", "image": "redis"}], "tolerations": [{"key": "disktype"}]},
        ),
        (
            {"containers": [NGINX]},
            {"containers": [{"name": "nginx", "image": "nginx:2"}]},
            {"containers": [{"name": "nginx", "image": "nginx:2"}]},
        ),
        (
            {"containers": [NGINX]},
            {"containers": [{"$patch": "replace"}, {"name": "a"}]},
            {"containers": [{"name": "a"}]},
        ),
        (
            {"containers": [NGINX, {"name": "a"}]},
            {"containers": [{"$patch": "delete", "name": "nginx"}]},
            {"containers": [{"name": "a"}]},
        ),
        (  # "retainKeys": a strategy of another type forgets what the old type needed
            {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}},
            {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
            {"strategy": {"type": "Recreate"}},
        ),
        ({"spec": {"a": 1}}, {"spec": {"$patch": "replace", "b": 2}}, {"spec": {"b": 2}}),
        ({"finalizers": ["a", "b"]}, {"$deleteFromPrimitiveList/finalizers": ["a"]}, {"finalizers": ["b"]}),
        (
            {"env": [{"name": "A"}, {"name": "B"}]},
            {"$setElementOrder/env": [{"name": "B"}, {"name": "A"}]},
            {"env": [{"name": "B"}, {"name": "A"}]},
        ),
        ({"args": ["a", "b"]}, {"args": ["c"]}, {"args": ["c"]}),
        ({"labels": {"a": "1"}}, {"labels": {"a": None, "b": "2"}}, {"labels": {"b": "2"}}),
    ],
)
def test_strategic_merge_patches(value, patch, expected):
    assert strategic_merged(value, patch) == expected
