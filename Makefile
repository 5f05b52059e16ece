# The project's verbs; `make` alone lists them. Each installs what it needs first (files/bootstrap.sh).
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo down test test-vm test-gpu check bench soak doctor-faults alerts ffmpeg-build runbook clean locks

BOOTSTRAP := files/bootstrap.sh
# Hosts of the lab are containers, which only root starts.
AS_ROOT := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo --preserve-env)
APPLIANCE := $(AS_ROOT) .venv/bin/appliance
# Unix time; the total that `make demo` prints counts the setup too.
BEGAN := $(shell date +%s)

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## a streaming host on this machine, and a live stream on it (DEMO_INPUT=file to send a file)
	@$(BOOTSTRAP) root python player lab
	@DEMO_BEGAN=$(BEGAN) $(APPLIANCE) demo up

down: ## take the demo down, leaving nothing behind
	@$(BOOTSTRAP) root python
	@$(APPLIANCE) demo down

test: ## everything but virtual machines: check, integration, molecule, end to end, chaos
	@$(BOOTSTRAP) root python player lab tests browser
	@$(AS_ROOT) .venv/bin/python tests/run.py check integration molecule e2e chaos

test-vm: ## the same site in a full virtual machine, rebooted (slow under emulation)
	@$(BOOTSTRAP) root python player lab vm
	@$(AS_ROOT) .venv/bin/python tests/run.py vm

test-gpu: ## NVIDIA's driver on a host that has no GPU: installed, its module built, removed (fifteen minutes)
	@$(BOOTSTRAP) root python player lab
	@$(AS_ROOT) .venv/bin/python tests/run.py gpu

check: ## lint, types and unit tests
	@$(BOOTSTRAP) python
	@.venv/bin/python tests/run.py check

bench: ## compare alternatives side by side, as ratios
	@$(BOOTSTRAP) root python player lab tests browser bench
	@$(AS_ROOT) .venv/bin/python tests/run.py bench

soak: ## a stream for SOAK_MINUTES (60): drop-outs, rotations, a viewer; memory and files drawn over time
	@$(BOOTSTRAP) root python player lab tests browser
	@$(AS_ROOT) .venv/bin/python tests/run.py soak

doctor-faults: ## plant faults on a host one by one, and see what the doctor says first
	@$(BOOTSTRAP) root python lab tests
	@$(AS_ROOT) .venv/bin/python tests/run.py doctor

alerts: ## plant faults on a host that is monitored, and see each alert fire and be over
	@$(BOOTSTRAP) root python lab tests
	@$(AS_ROOT) .venv/bin/python tests/run.py alerts

ffmpeg-build: ## compile our own FFmpeg on a host, put it to use and away under a live stream
	@$(BOOTSTRAP) root python player lab tests
	@$(AS_ROOT) .venv/bin/python tests/run.py ffmpeg

runbook: ## write RUNBOOK.md anew from what the doctor can find
	@$(BOOTSTRAP) python
	@.venv/bin/python -m appliance.ops.runbook > .runbook.new && mv .runbook.new appliance/ops/doctor/RUNBOOK.md

clean: ## remove what was made in the checkout: .venv, caches, hosts
	@[ ! -e .lab ] || { $(BOOTSTRAP) root python && $(APPLIANCE) demo down && $(APPLIANCE) lab down --all; }
	@$(AS_ROOT) rm -rf --one-file-system .venv .cache .lab .ansible .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
	@$(AS_ROOT) rm -rf tests/e2e/browser/node_modules
	@find . -name __pycache__ -type d -prune -exec $(AS_ROOT) rm -rf {} +

locks: ## pin the newest versions the .in files allow (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade files/locks/host.in -o files/locks/host.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--upgrade files/locks/controller.in -c files/locks/host.txt -o files/locks/controller.txt
