"""What a version's images really are: what is told of tags, of digests, and of tags that move."""

import pytest

from rearguard_controller.adapters.kubernetes.troubles import pod
from rearguard_controller.model import Release
from rearguard_controller.releases.by_pods import ran, said

A, B = (f"shop:v1@sha256:{letter * 64}" for letter in "ab")
SHORT_A, SHORT_B = (f"shop:v1@sha256:{letter * 12}" for letter in "ab")
RELEASE = Release("shop", "abc", 0.0, 0.0, description="revision 1, shop:v1")


def a_pod(*containers):
    """A pod with containers of an image, and of the imageID that its kubelet tells."""
    return pod(
        {
            "metadata": {"name": "p"},
            "spec": {"containers": [{"name": f"c{n}", "image": image} for n, (image, _) in enumerate(containers)]},
            "status": {
                "containerStatuses": [
                    {"name": f"c{n}", "imageID": found} if found is not None else {"name": f"c{n}"}
                    for n, (_, found) in enumerate(containers)
                ]
            },
        }
    )


@pytest.mark.parametrize(
    ("image", "found", "runs"),
    [
        ("shop:v1", f"registry/shop@sha256:{'a' * 64}", (A,)),
        ("shop:v1", f"docker-pullable://registry/shop@sha256:{'a' * 64}", (A,)),
        ("shop:v1", "", ()),  # not pulled yet
        ("shop:v1", None, ()),
        ("shop:v1", f"sha256:{'a' * 64}", ()),  # loaded by hand: the identity of its configuration, of no registry
        (f"shop@sha256:{'a' * 64}", f"registry/shop@sha256:{'a' * 64}", ()),  # the template says it
    ],
)
def test_a_pod_tells_the_digest_of_an_image_that_a_tag_names(image, found, runs):
    assert a_pod((image, found)).runs == runs


@pytest.mark.parametrize(
    ("seen", "known_as", "doubt"),
    [
        ([], "revision 1, shop:v1", ""),
        ([(A,)], f"revision 1, shop:v1, run as {SHORT_A}", f"It ran as {SHORT_A}; whether its tag still means that"),
        ([(A,), (A, B)], f"revision 1, shop:v1, run as {SHORT_A}, {SHORT_B}", "a tag has moved"),
        (
            [(A,), (A, B), (B,)],
            f"revision 1, shop:v1, run as {SHORT_B}",
            f"first ran as {SHORT_A} and last as {SHORT_B}",
        ),
    ],
)
def test_a_version_is_shown_as_it_runs_and_doubted_where_its_tag_may_have_moved(seen, known_as, doubt):
    release = RELEASE
    for runs in seen:
        release = ran(release, runs)
    assert release.known_as == known_as
    assert doubt in release.code_doubt
    assert bool(release.code_doubt) is bool(doubt)


@pytest.mark.parametrize(
    ("before", "runs", "told"),
    [
        ((), (A,), ""),
        ((A,), (A,), ""),
        ((A,), (A, B), "different images by one name"),
        ((), (A, B), "different images by one name"),
        ((A, B), (B,), f"runs as {SHORT_B} now"),
        ((A,), (B,), f"ran as {SHORT_A} and runs as {SHORT_B} now"),
        ((A, "side:1@sha256:c"), (A, "side:1@sha256:c"), ""),
    ],
)
def test_people_are_told_once_of_each_change(before, runs, told):
    found = said(ran(RELEASE, before) if before else RELEASE, runs)
    assert told in found
    assert bool(found) is bool(told)
