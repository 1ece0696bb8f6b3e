#!/usr/bin/env bash
# Runs on each host of a TPU slice when it starts: mounts the share and trains one run in the container. A host that
# is lost ends the others, and they try again; what came out is left for the machine that launched them.
set -uo pipefail
exit_code=/var/tmp/bench-shadows.exit
rm -f "$exit_code"

apt-get update -qq && apt-get install --yes -qq nfs-common
mkdir -p {{mount}} /var/cache/bench-shadows
mountpoint -q {{mount}} || mount -t nfs {{share}} {{mount}}

# A TPU's devices belong to root.
for attempt in 1 2 3 4 5; do
  docker run --rm --privileged --user=root --network=host --volume={{mount}}:{{mount}} \
    --volume=/var/cache/bench-shadows:/cache {{image}} \
    {{train}}
  code=$?
  case $code in 0 | 2) break ;; esac
  echo "exit code $code, attempt $attempt of 5"
  sleep 30
done
echo "$code" >"$exit_code"
