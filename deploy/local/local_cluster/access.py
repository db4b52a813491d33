"""Who asks, and what they may do: bearer tokens, and RBAC evaluated from the stored roles and bindings."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace

from local_cluster.errors import forbidden, unauthorized
from local_cluster.kinds import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from local_cluster.objects import Object, namespace_of
from local_cluster.request import Asked
from local_cluster.store import Store

_ACCOUNT = "system:serviceaccount:"
_MASTERS = "system:masters"
_AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True, slots=True)
class User:
    """Who a request comes from."""

    name: str
    groups: tuple[str, ...] = ()


def service_account(namespace: str, name: str) -> User:
    """Return the user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", _AUTHENTICATED)
    return User(f"{_ACCOUNT}{namespace}:{name}", groups)


def _named(name: str) -> User:
    if name.startswith(_ACCOUNT):
        namespace, _, account = name.removeprefix(_ACCOUNT).partition(":")
        return service_account(namespace, account)
    return User(name, (_AUTHENTICATED,))


ADMIN = User("kubernetes-admin", (_MASTERS, _AUTHENTICATED))
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Tokens:
    """Bearer tokens and whose they are; a test may give out new ones and take old ones back at any time."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    def issue(self, user: User) -> str:
        """Return a new token for the user; older ones stay good."""
        token = f"stand-in-{secrets.token_urlsafe(24)}"
        self._users[token] = user
        return token

    def revoke(self, token: str) -> None:
        """Answer 401 to this token from now on."""
        self._users.pop(token, None)

    def user(self, authorization: str | None, *, instead: str | None = None) -> User:
        """Return whose header this is, the anonymous user without one; raises `ApiError` 401 for an unknown token.

        A master may ask `instead` as somebody else, as by `kubectl --as`.
        """
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        user = self._users.get(token.strip())
        if scheme.lower() != "bearer" or user is None:
            raise unauthorized()
        if instead and _MASTERS in user.groups:
            return _named(instead)
        return user


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing that somebody wants to do; empty namespace: with the whole cluster."""

    verb: str
    group: str = ""
    resource: str = ""  # with its subresource: `deployments/scale`
    namespace: str = ""
    name: str = ""


def wish_of(asked: Asked) -> Wish:
    """Return what a request wishes to do."""
    return Wish(asked.verb, asked.kind.group, asked.resource, asked.namespace, asked.name or asked.only)


class Access:
    """What the stored roles allow."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def is_master(self, user: User) -> bool:
        """Return true when the user may do all."""
        return _MASTERS in user.groups

    def allows(self, user: User, wish: Wish) -> bool:
        """Return true when a rule that is bound to the user covers the wish; masters may do all."""
        if self.is_master(user):
            return True
        return any(_covers(rule, wish) for rule in self.rules(user, wish.namespace))

    def check(self, user: User, asked: Asked) -> None:
        """Raise `ApiError` 403 when the user may not do what is asked."""
        wish = wish_of(asked)
        if not self.allows(user, wish):
            raise forbidden(
                user.name, wish.verb, wish.resource, wish.group, name=asked.name, namespace=asked.namespace
            )

    def may_create(self, user: User, asked: Asked) -> None:
        """Raise `ApiError` 403 when an apply would create what the user may only patch."""
        self.check(user, replace(asked, verb="create"))

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """Return the rules that are bound to the user for the whole cluster, and for this namespace."""
        for binding in self._store.all(CLUSTER_ROLE_BINDINGS):
            if _binds(binding, user, ""):
                yield from self._rules_of(binding["roleRef"], "")
        for binding in self._store.all(ROLE_BINDINGS, namespace) if namespace else ():
            if _binds(binding, user, namespace_of(binding)):
                yield from self._rules_of(binding["roleRef"], namespace)

    def _rules_of(self, reference: Object, namespace: str) -> list[Object]:
        kind, where = (ROLES, namespace) if reference["kind"] == ROLES.name else (CLUSTER_ROLES, "")
        role = self._store.find(kind, where, reference["name"])
        return list((role or {}).get("rules") or [])


def _binds(binding: Object, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or []:
        match subject["kind"]:
            case "ServiceAccount":
                place = subject.get("namespace") or namespace
                if user.name == f"{_ACCOUNT}{place}:{subject['name']}":
                    return True
            case "User":
                if user.name == subject["name"]:
                    return True
            case "Group":
                if subject["name"] in user.groups:
                    return True
    return False


def _covers(rule: Object, wish: Wish) -> bool:
    names = rule.get("resourceNames") or []
    if names and wish.name not in names:
        return False
    return (
        _among(wish.verb, rule.get("verbs"))
        and _among(wish.group, rule.get("apiGroups"))
        and _resource_among(wish.resource, rule.get("resources") or [])
    )


def _among(word: str, words: list[str] | None) -> bool:
    return word in (words or ()) or "*" in (words or ())


def _resource_among(resource: str, resources: list[str]) -> bool:
    _, _, part = resource.partition("/")
    return resource in resources or "*" in resources or bool(part and f"*/{part}" in resources)
