#!/bin/sh
# Run by Snakemake in the repository's root, inside the new environment.
set -e
python -m pip install --quiet --constraint constraints.txt --editable .
