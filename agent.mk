# The image that agents run in: gathers CLIs below build/agent, outside of Docker, and has Docker build
# it out of them and Debian's packages. What comes out is an OCI layout as a tar.
#
#   AGENT        the file (build/agent/agent-ARCH.tar)
#   CLIS         folders of bundle/images/agent/clis; echo, which needs no model, is always there
#   CLAUDE_CODE  a version: puts Claude Code in as well, whose licence is between you and its maker
#   PACKAGES     more packages of Debian
#   PLATFORM, BASE, BUILD_ARGS  as for `make image`

CLIS ?= codex opencode
CLAUDE_CODE ?=
PACKAGES ?=

AGENT_SOURCE := bundle/images/agent
AGENT_PARTS ?= build/agent
AGENT ?= $(AGENT_PARTS)/agent-$(ARCH).tar
GATHERED = $(AGENT_PARTS)/$(ARCH)
CHOSEN = $(sort echo $(CLIS) $(if $(CLAUDE_CODE),claude))
FROM_NPM = $(patsubst $(AGENT_SOURCE)/clis/%/package.json,%,$(wildcard \
	$(patsubst %,$(AGENT_SOURCE)/clis/%/package.json,$(CHOSEN))))

CPU_amd64 := x64
CPU_arm64 := arm64
NPM_QUIET := --ignore-scripts --no-audit --no-fund --loglevel=error
NPM_FOR = --os=linux --cpu=$(CPU_$(ARCH)) --libc=glibc --omit=dev $(NPM_QUIET)

.PHONY: agent-image agent-lock
agent-image: agent-clis ## the image that agents run in, as a file (CLIS='codex opencode')
	@mkdir -p '$(dir $(AGENT))'
	@SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(DOCKER) buildx build --platform '$(PLATFORM)' \
		--provenance=false --sbom=false $(if $(BASE),--build-arg 'BASE=$(BASE)') \
		--build-arg 'VERSION=$(VERSION)' --build-arg "PACKAGES=$$(echo $(PACKAGES) \
			$$(cat /dev/null $(wildcard $(patsubst %,$(AGENT_SOURCE)/clis/%/packages,$(CHOSEN)))))" \
		--output 'type=oci,dest=$(AGENT),name=cto.internal/agent:$(VERSION),rewrite-timestamp=true' \
		$(BUILD_ARGS) --file $(GATHERED)/Dockerfile $(GATHERED)

# Docker's list of what it leaves out says which CLIs go in: what is there for another choice stays.
.PHONY: agent-clis $(FROM_NPM:%=agent-cli-%)
agent-clis: $(FROM_NPM:%=agent-cli-%)
	@mkdir -p $(GATHERED) && find $(GATHERED) -maxdepth 3 -type f ! -name gathered -delete
	@cp -R $(AGENT_SOURCE)/. $(GATHERED)/
	@cd $(AGENT_SOURCE) && for cli in $(CHOSEN); do [ -x clis/$$cli/run ] || { \
		echo "CLIS: there is no CLI '$$cli', only: $$(cd clis && echo *)" >&2; exit 1; }; done
	@cd $(GATHERED) && { cat ignored; for cli in $(CHOSEN); do \
		echo "!clis/$$cli"; sed "s,^[^#],clis/$$cli/&," clis/$$cli/ignored 2>/dev/null || true; \
		done; echo '**/.package-lock.json'; } > Dockerfile.dockerignore
	@chmod -R u=rwX,go=rX $(GATHERED)

# Sums are checked here; nothing of a package is run. What is there already is taken as it is.
$(FROM_NPM:%=agent-cli-%): agent-cli-%:
	@major="$$(npm --version 2>/dev/null | cut -d. -f1)"; [ "$${major:-0}" -ge 10 ] || { \
		echo "CLIS: '$*' needs npm 10 or newer (CLIS= makes an image without)" >&2; exit 1; }
	@mkdir -p $(GATHERED)/clis && cp -R $(AGENT_SOURCE)/clis/$* $(GATHERED)/clis/
	@cd $(GATHERED)/clis/$* && umask 022 && wanted="$$(cat package.json package-lock.json \
		2>/dev/null; echo $(if $(filter claude,$*),$(CLAUDE_CODE)))" && \
		if [ "$$wanted" != "$$(cat gathered 2>/dev/null)" ]; then \
		rm -rf gathered node_modules && \
		$(if $(filter claude,$*),npm install --no-save --no-package-lock $(NPM_FOR) \
			'@anthropic-ai/claude-code@$(CLAUDE_CODE)',npm ci $(NPM_FOR)) && \
		npm run --silent --if-present bin && test -x node_modules/.bin/$* && \
		echo "$$wanted" > gathered; fi

# Without the registry's name, and without what packages have for other systems.
LEAN := .packages |= with_entries(if .key == "" then . else .value |= del(.optionalDependencies) end)
LOCK := npm install --package-lock-only --omit-lockfile-registry-resolved=true $(NPM_QUIET)
agent-lock: ## resolve the CLIs' packages anew, from their package.json (needs npm and jq)
	@cd $(AGENT_SOURCE)/clis && for lock in */package-lock.json; do \
		( cd "$$(dirname $$lock)" && rm package-lock.json && $(LOCK) && \
		jq '$(LEAN)' package-lock.json > .lock.tmp && mv .lock.tmp package-lock.json && \
		$(LOCK) ) || exit 1; done
