#!/usr/bin/env bash
# The study on GKE: a Job that prepares, a JobSet for each run, a Job that makes the report.
set -euo pipefail
cd "$(dirname "$0")"

kubectl apply --namespace={{namespace}} --filename=prepare.yaml
kubectl wait --namespace={{namespace}} --for=condition=complete --timeout=24h job/{{name}}-prepare
kubectl apply --namespace={{namespace}} --filename=train.yaml
kubectl wait --namespace={{namespace}} --for=condition=completed --timeout=1000h --selector=study={{name}} jobset
kubectl apply --namespace={{namespace}} --filename=finish.yaml
kubectl wait --namespace={{namespace}} --for=condition=complete --timeout=24h job/{{name}}-finish
