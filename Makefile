# Needs git, make, Python 3.11 to 3.13 with venv, and an ssh client. Every target sets up .venv by itself.
PYTHON ?= python3
SETUP := $(PYTHON) -m embedded.bootstrap
PIN := uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --upgrade
.PHONY: up down test check e2e lab bench soak image lock help

up: ## run the product with its database, broker and emulated rack (DETACH=1: in the background; CHAPEK_PORT: where)
	@$(SETUP) embedded.up $(if $(DETACH),--detach)

down: ## stop what `make up` started
	@$(SETUP) --as-it-is embedded.down

test: ## all tests but those of a browser and the full campaigns (ARGS="-k name": some of them)
	@$(SETUP) embedded.suite test $(ARGS)

check: ## lint, types, layers, migrations, OpenAPI, docs links, deployment settings
	@$(SETUP) embedded.checks

e2e: ## the journey in a real browser; screenshots in artefacts/
	@$(SETUP) embedded.suite e2e $(ARGS)

lab: ## the emulated rack against real clients: ipmitool, sushy, ssh
	@$(SETUP) embedded.suite lab $(ARGS)

bench: ## one row per published figure (ONLY=name: just that one)
	@$(SETUP) benchmarks $(if $(ONLY),--only $(ONLY))

soak: ## every simulation, kill and mutation campaign in full
	@$(SETUP) embedded.suite soak $(ARGS)

image: ## build the container image
	@bash docker/build-image.sh

lock: ## pin every dependency anew, with hashes (needs uv): all for a checkout, the lesser one for the image
	@$(PIN) --extra dev --output-file requirements.lock
	@$(PIN) --extra build --output-file requirements-run.lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile
