#!/bin/sh
# Checks what stands in terraform/ with OpenTofu or Terraform (`--self-test`: plants mistakes, which must be found). Where
# neither is installed, GAMEDAY_TOFU_INSTALLER names a program that installs one. `make terraform` sets up all it needs.
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/python -m scripts.terraform_checks "$@"
