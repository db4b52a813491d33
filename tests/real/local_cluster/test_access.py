"""Roles that are applied decide what an account may do, and what it is told when it may not."""

from local_cluster.access import ADMIN
from real.local_cluster.client import DEPLOYMENTS, client_of
from real.local_cluster.workloads import workload

ROLES = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: rearguard, namespace: shop}
rules:
  - {apiGroups: [apps], resources: [deployments], verbs: [get, patch, watch], resourceNames: [shop]}
  - {apiGroups: [apps], resources: [replicasets], verbs: [list]}
  - {apiGroups: [events.k8s.io], resources: [events], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: rearguard, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: rearguard}
subjects: [{kind: ServiceAccount, name: rearguard, namespace: tools}]
"""
ACCOUNT = "system:serviceaccount:tools:rearguard"


async def test_a_verb_that_no_role_gives_is_refused_in_the_words_of_the_api(cluster, kubectl):
    cluster.create(workload())
    cluster.create(workload(name="other"))
    await kubectl("apply -f -", stdin=ROLES)

    async with client_of(cluster, cluster.token_of("tools", "rearguard")) as client:
        assert (await client.get(f"{DEPLOYMENTS}/shop"))[0] == 200
        assert (await client.patch(f"{DEPLOYMENTS}/shop", {"metadata": {"labels": {"a": "b"}}}))[0] == 200
        assert (await client.get("/apis/apps/v1/namespaces/shop/replicasets"))[0] == 200
        assert (await client.get(f"{DEPLOYMENTS}/other"))[0] == 403, "the rule names one deployment"
        assert (await client.get("/apis/apps/v1/namespaces/default/replicasets"))[0] == 403

        assert (await client.get("/apis/events.k8s.io/v1/namespaces/shop/events"))[0] == 200
        assert (await client.get("/api/v1/namespaces/shop/events"))[0] == 403, "the same name in another group"

        code, status, headers = await client.get("/api/v1/namespaces/shop/pods")
        assert (code, status["reason"], headers["Content-Type"]) == (403, "Forbidden", "application/json")
        assert status["message"] == (
            f'pods is forbidden: User "{ACCOUNT}" cannot list resource "pods" in API group "" in the namespace "shop"'
        )
        code, status, _ = await client.send("DELETE", f"{DEPLOYMENTS}/shop")
        assert status["message"] == (
            f'deployments.apps "shop" is forbidden: User "{ACCOUNT}" cannot delete resource "deployments" '
            'in API group "apps" in the namespace "shop"'
        )
        async with client.watch(DEPLOYMENTS, fieldSelector="metadata.name=shop") as stream:
            assert stream.response.status == 200, "a watch of one name is a watch of what the rule names"
        assert (await client.get(DEPLOYMENTS, watch="1"))[0] == 403


async def test_reviews_answer_what_requests_would(cluster, kubectl):
    await kubectl("apply -f -", stdin=ROLES)
    asked = f"--as {ACCOUNT}"

    assert await kubectl(f"auth can-i patch deployments.apps/shop {asked}") == "yes\n"
    assert await kubectl.run(f"auth can-i patch deployments.apps/other {asked}") == (1, "no\n")
    assert await kubectl.run(f"auth can-i create deployments.apps {asked}") == (1, "no\n")
    assert await kubectl("auth can-i delete pods") == "yes\n"
    listed = (await kubectl(f"auth can-i --list {asked}")).splitlines()
    assert any(line.split() == ["replicasets.apps", "[]", "[]", "[list]"] for line in listed)


async def test_a_token_is_good_until_it_is_revoked_and_strangers_are_told_so(cluster):
    token = cluster.tokens.issue(ADMIN)
    async with client_of(cluster, token) as client:
        assert (await client.get("/api/v1/namespaces"))[0] == 200
        cluster.tokens.revoke(token)
        code, status, _ = await client.get("/api/v1/namespaces")
        assert (code, status["reason"]) == (401, "Unauthorized")


async def test_the_files_of_an_account_get_a_new_token_and_the_old_one_stays_good(cluster, tmp_path):
    folder = cluster.write_account_files(tmp_path / "account", "tools", "rearguard")
    first = (folder / "token").read_text()
    cluster.write_account_files(folder, "tools", "rearguard")

    second = (folder / "token").read_text()
    assert first != second
    for token in (first, second):
        async with client_of(cluster, token) as client:
            assert (await client.get("/api/v1/namespaces"))[0] == 403, "known, but not allowed"
