#!/usr/bin/env bash
# The study on GPU hosts that share a folder and take ssh: all of them train one run after the other.
set -uo pipefail
hosts=({{hosts}})
runs=({{runs}})

on() { # HOST COMMAND; -tt: when this script ends, so does the command
  ssh -tt -o BatchMode=yes -o ServerAliveInterval=30 "$1" "cd {{checkout}} && $2" </dev/null
}

on_all_hosts() { # the same command on every host; an exit code that is not 0, where there is one
  local processes=() code=0 i
  for i in "${!hosts[@]}"; do
    on "${hosts[i]}" "JAX_COORDINATOR_ADDRESS=${hosts[0]}:{{port}} JAX_NUM_PROCESSES=${#hosts[@]} JAX_PROCESS_ID=$i $1" &
    processes+=($!)
  done
  trap 'kill "${processes[@]}" 2>/dev/null; exit 143' INT TERM
  for i in "${processes[@]}"; do
    wait "$i" || code=$?
  done
  trap - INT TERM
  return "$code"
}

on "${hosts[0]}" {{prepare}} || exit

for run in "${runs[@]}"; do
  read -r condition seed <<<"$run"
  for attempt in 1 2 3 4 5; do
    on_all_hosts {{train}}" --condition=$condition --seed=$seed"
    code=$?
    case $code in 0) break ;; 2 | 143) exit "$code" ;; esac # done; cannot be; asked to leave
    echo "condition $condition, seed $seed: exit code $code, attempt $attempt of 5" >&2
    if ((attempt == 5)); then exit "$code"; fi
    sleep 30
  done
done

on "${hosts[0]}" {{finish}}
