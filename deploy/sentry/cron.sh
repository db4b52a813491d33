#!/bin/sh
# Runs a job under a cron monitor of Sentry: cron.sh SLUG 'SCHEDULE' COMMAND...
# Sentry says so when the job fails, takes more than 30 minutes, or does not begin within 5 minutes of its time.
# Needs sentry-cli, and SENTRY_DSN in the environment. The exit code is the job's. For a crontab:
#   15 3 * * * /opt/rearguard/cron.sh nightly-report '15 3 * * *' /usr/local/bin/report
set -eu

slug=${1:?"usage: cron.sh SLUG 'SCHEDULE' COMMAND..."}
schedule=${2:?"usage: cron.sh SLUG 'SCHEDULE' COMMAND..."}
shift 2
[ $# -gt 0 ] || { echo "usage: cron.sh SLUG 'SCHEDULE' COMMAND..." >&2; exit 2; }

exec sentry-cli monitors run "$slug" --schedule "$schedule" --check-in-margin 5 --max-runtime 30 \
  --environment "${REARGUARD_ENVIRONMENT:-production}" -- "$@"
