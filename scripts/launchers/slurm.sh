#!/usr/bin/env bash
# Submits the study to Slurm: prepare once, then the runs as one array of jobs, then what is made from them.
set -euo pipefail
cd "$(dirname "$0")"

prepare=$(sbatch --parsable prepare.sbatch)
train=$(sbatch --parsable --dependency="afterok:$prepare" train.sbatch)
finish=$(sbatch --parsable --dependency="afterok:$train" finish.sbatch)
echo "submitted: prepare $prepare, train $train, finish $finish; logs in $PWD"
