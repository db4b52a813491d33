"""Whatever the API server says, it is read or it is none; and no question of the client raises anything else."""

import asyncio
import contextlib
import itertools
import json
import random

import pytest
from aiohttp import web

from rearguard_controller.adapters.foreign_json import ShapeError
from rearguard_controller.adapters.kubernetes import Cluster, Order, objects, patches
from rearguard_controller.adapters.kubernetes.rollout import progress
from rearguard_controller.config import KubernetesSettings
from rearguard_controller.errors import SourceError
from rearguard_controller.model import KubernetesRelease, WorkloadKind
from unit.controller import hostile

AT = "2026-01-01T00:00:00Z"
TEMPLATE = {
    "metadata": {"labels": {"app": "shop", "pod-template-hash": "abc"}, "creationTimestamp": None},
    "spec": {
        "serviceAccountName": "shop",
        "containers": [
            {
                "name": "shop",
                "image": "shop:v1",
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "envFrom": [{"configMapRef": {"name": "c", "optional": False}}],
            }
        ],
        "volumes": [
            {"name": "a", "secret": {"secretName": "s"}},
            {"name": "b", "projected": {"sources": [{"configMap": {"name": "c"}}]}},
            {"name": "d", "persistentVolumeClaim": {"claimName": "p"}},
        ],
    },
}
OWNER = [{"uid": "u-1", "controller": True, "kind": "Deployment", "name": "shop"}]
ABOUT = {
    "namespace": "shop", "name": "shop", "uid": "u-1", "resourceVersion": "7", "generation": 2,
    "creationTimestamp": AT, "labels": {"app": "shop"}, "ownerReferences": [],
    "annotations": {"deployment.kubernetes.io/revision": "2"}, "managedFields": [{"manager": "kubectl"}],
}  # fmt: skip
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": ABOUT,
    "spec": {
        "replicas": 2,
        "paused": False,
        "revisionHistoryLimit": 10,
        "selector": {"matchLabels": {"app": "shop"}},
        "template": TEMPLATE,
    },
    "status": {
        "observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2,
        "updateRevision": "shop-a",
        "conditions": [{"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": ""}],
    },
}  # fmt: skip
REPLICA_SET = {
    "metadata": {**ABOUT, "name": "shop-abc", "uid": "u-2", "ownerReferences": OWNER},
    "spec": {"replicas": 2, "template": TEMPLATE},
    "status": {"readyReplicas": 2},
}
REVISION = {
    "metadata": {**ABOUT, "name": "shop-abc", "uid": "u-3", "ownerReferences": OWNER},
    "revision": 3,
    "data": {"spec": {"template": {**TEMPLATE, "$patch": "replace"}}},
}
READERS = {
    "workload": (objects.workload, DEPLOYMENT),
    "replica set": (objects.replica_set, REPLICA_SET),
    "controller revision": (objects.controller_revision, REVISION),
}
SHOP = KubernetesRelease("shop", WorkloadKind.DEPLOYMENT, "shop", 0.3)
ORDER = Order("shop", "abc", "def", "r-1")
SEED, PICKED = 14, 40


@pytest.mark.parametrize("name", READERS)
def test_of_any_field_of_any_object_a_hostile_value_is_read_or_the_object_has_the_wrong_shape(name):
    read, good = READERS[name]
    assert read(good) is not None
    tried = 0
    for place, document in hostile.documents_of(good):
        tried += 1
        try:
            found = read(document)
        except ShapeError:
            continue
        hash(found.template)
        if name == "workload":
            assert progress(found).detail, place
    assert tried > 500


def test_of_any_field_of_a_template_a_patch_is_made_or_the_template_has_the_wrong_shape():
    for place, template in hostile.documents_of(TEMPLATE):
        if not place:  # whoever calls has a mapping
            continue
        try:
            needs = list(patches.needed(template))
            operations = patches.back_to(DEPLOYMENT, template, ORDER)
        except ShapeError:
            continue
        assert all(isinstance(name, str) for _, name in needs)
        assert {"/metadata/resourceVersion", "/spec/template"} <= {
            each["path"] for each in operations if each["op"] == "test"
        }


@pytest.fixture
async def asked(tmp_path):
    """Clients of API servers, each of which answers everything with one body and status."""
    answers, clients = [], []

    async def answer(request):
        body, status = answers[int(request.match_info["number"])]
        return web.Response(body=body() if callable(body) else body, status=status, headers={"Retry-After": "x"})

    app = web.Application()
    app.router.add_route("*", "/{number}/{tail:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"

    def client(body, status=200):
        answers.append((body, status))
        file = tmp_path / f"kubeconfig-{len(answers)}"
        known = {
            "current-context": "x",
            "clusters": [{"name": "c", "cluster": {"server": f"{server}/{len(answers) - 1}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }
        file.write_text(json.dumps(known))
        clients.append(Cluster(KubernetesSettings(file)))
        return clients[-1]

    yield client
    for each in clients:
        await each.close()
    await runner.cleanup()


async def everything(client):
    """Ask all there is to ask; whatever is said, only a `SourceError` may come, and only from a question."""
    with contextlib.suppress(SourceError):
        await client.current(SHOP, fresh=True)
    for done in await asyncio.gather(client.prove(SHOP, ORDER), client.activate(SHOP, ORDER)):
        assert done.detail
        assert not done.ok


async def test_over_the_wire_whatever_is_answered_is_a_source_error_or_a_failure(asked):
    wholes = [b"", b"{", b"[]", b"null", b"\xff", b"<html>", b"{}", b'{"items": {}, "metadata": {}}', b"1" * 200_000]
    picked = random.Random(SEED)  # noqa: S311  # seeded, to repeat it
    some = [json.dumps(each).encode() for _, each in picked.sample(list(hostile.documents_of(DEPLOYMENT)), PICKED)]
    await asyncio.gather(*(everything(asked(body)) for body in [*wholes, *some]))


@pytest.mark.parametrize("is_new", [False, True])
async def test_a_list_that_never_ends_is_given_up(asked, is_new):
    numbers = itertools.count()

    def page():
        about = {**ABOUT, "continue": f"page {next(numbers) if is_new else 1}"}
        return json.dumps({**DEPLOYMENT, "metadata": about, "items": [REPLICA_SET]}).encode()

    async with asyncio.timeout(100):
        await everything(asked(page))


async def test_every_status_is_told_with_what_to_do(asked):
    async def told(status):
        client = asked(json.dumps({"kind": "Status", "message": "no\x1b[31m", "code": status}).encode(), status)
        with pytest.raises(SourceError) as error:
            await client.current(SHOP, fresh=True)
        assert error.value.hint, status
        assert "\x1b" not in error.value.message
        await everything(client)

    await asyncio.gather(*map(told, (301, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503)))
