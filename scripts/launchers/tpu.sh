#!/usr/bin/env bash
# The study on Cloud TPU: a queued resource for each run, made again when it was preempted, deleted when its run is
# done. This machine mounts the share at the same place as the TPUs' hosts do.
set -uo pipefail
runs=({{runs}})
cd {{checkout}} || exit 1

{{prepare}} || exit

tpus() { gcloud compute tpus "$@" --zone={{zone}} --project={{project}}; }
create() {
  tpus queued-resources create "$1" --node-id="$1" --accelerator-type={{accelerator}} \
    --runtime-version={{runtime}} --async {{spot}} --metadata-from-file="startup-script={{folder}}/$1.sh"
}
delete() { tpus queued-resources delete "$1" --force --quiet; }
state() { tpus queued-resources describe "$1" --format='value(state.state)' 2>/dev/null || echo NONE; }
told() { tpus tpu-vm ssh "$1" --worker=0 --command='cat /var/tmp/bench-shadows.exit' 2>/dev/null; }

failed=()
while ((${#runs[@]})); do
  left=()
  for run in "${runs[@]}"; do
    case $(state "$run") in
    ACTIVE)
      code=$(told "$run")
      if [[ -z $code ]]; then
        left+=("$run")
      else
        echo "$(date): $run ended with exit code $code"
        delete "$run"
        if [[ $code != 0 ]]; then failed+=("$run"); fi
      fi
      ;;
    SUSPENDED | FAILED) # preempted, or never granted
      delete "$run"
      create "$run"
      left+=("$run")
      ;;
    NONE)
      create "$run"
      left+=("$run")
      ;;
    *) left+=("$run") ;; # waiting, being made, being taken away
    esac
  done
  runs=("${left[@]}")
  if ((${#runs[@]})); then sleep 60; fi
done
if ((${#failed[@]})); then
  echo "failed, and to be looked at before the same command goes on: ${failed[*]}" >&2
  exit 1
fi

{{finish}}
