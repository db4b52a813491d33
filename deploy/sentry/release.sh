#!/bin/sh
# Tells Sentry of a release and of its deployment, from CI: release.sh VERSION ENVIRONMENT
# VERSION is what the exporter has as REARGUARD_VERSION: so errors, metrics and rollbacks name the same release.
# Needs sentry-cli, and SENTRY_AUTH_TOKEN, SENTRY_ORG, SENTRY_PROJECT in the environment; the token is never shown.
set -eu

version=${1:?"usage: release.sh VERSION ENVIRONMENT"}
environment=${2:?"usage: release.sh VERSION ENVIRONMENT"}

case $version in
  */* | *\\* | . | .. | *[[:space:]]*)
    echo "Sentry takes no slash, no backslash and no space in a release: $version" >&2
    exit 2
    ;;
esac

sentry-cli releases new "$version"
# Commits need a repository that Sentry knows; without one the release is told without them.
sentry-cli releases set-commits "$version" --auto --ignore-missing || echo "no commits were told" >&2
sentry-cli releases finalize "$version"
sentry-cli deploys new --release "$version" --env "$environment"
