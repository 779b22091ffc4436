# The image: gathers its parts below build/image, outside of Docker, has Docker build the program, and
# puts the bundle in. What is in dist/ is what `docker load` takes.
#
#   IMAGE        name without tag
#   PLATFORM     linux/amd64 or linux/arm64
#   BASE         another base image than the Dockerfile's
#   BUNDLE_ARGS  more for `cto bundle build`: --lock FILE, --mirror HOST=ADDRESS, --ca-file FILE
#   BUILD_ARGS   more for `docker buildx build`, which needs an exporter of OCI layouts: Docker with
#                the containerd image store, or --builder NAME
#   CTO_TOOLS, CTO_CHARTS  folders to take programs and charts from, as they are

IMAGE ?= cto
PLATFORM ?= linux/amd64
BASE ?=
BUNDLE_ARGS ?=
BUILD_ARGS ?=
DOCKER ?= docker
# That of the base image.
IMAGE_PYTHON := 3.13

PARTS ?= build/image
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' entrypoint/cto/__init__.py)
ARCH = $(notdir $(PLATFORM))
TAR = dist/cto-$(VERSION)-$(1)-$(ARCH).tar
# The time of all files: that of the commit, and a fixed one where there is none.
SOURCE_DATE_EPOCH ?= $(or $(shell git log -1 --format=%ct 2>/dev/null),315532800)

MACHINE_amd64 := x86_64
MACHINE_arm64 := aarch64
WHEEL_PLATFORMS = $(foreach tag,manylinux_2_28 manylinux_2_17 manylinux2014,\
	--platform $(tag)_$(MACHINE_$(ARCH)))
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
FOR_IMAGE = --no-deps --no-compile --only-binary=:all: --implementation cp \
	--python-version $(IMAGE_PYTHON) $(WHEEL_PLATFORMS)

.PHONY: image image-slim image-tar
image: image-tar ## build the image with its bundle, for this Docker (PROFILE=minimal)
	@$(DOCKER) load --input '$(call TAR,$(PROFILE))'

image-slim: $(PARTS)/program.tar ## build the image without images, for networks with a registry
	@$(BIN)/cto bundle build --no-images --profile production --platform '$(PLATFORM)' \
		--out $(PARTS)/charts $(BUNDLE_ARGS)
	@$(call with_bundle,$(PARTS)/charts,slim)
	@$(DOCKER) load --input '$(call TAR,slim)'

image-tar: $(PARTS)/program.tar $(PARTS)/controller.tar agent-image ## the image as a file for `docker load`, and its sha256, in dist/
	@$(BIN)/cto bundle build --profile '$(PROFILE)' --platform '$(PLATFORM)' \
		--archive cto.internal/controller=$(PARTS)/controller.tar \
		--archive cto.internal/agent=$(AGENT) --out $(PARTS)/bundle $(BUNDLE_ARGS)
	@$(call with_bundle,$(PARTS)/bundle,$(PROFILE))

define with_bundle
	$(BIN)/cto bundle image '$(1)' --program $(PARTS)/program.tar --out '$(call TAR,$(2))' \
		--name '$(IMAGE):$(VERSION)-$(2)' && \
	cd dist && sha256sum '$(notdir $(call TAR,$(2)))' > '$(notdir $(call TAR,$(2))).sha256'
endef

.PHONY: $(PARTS)/program.tar $(PARTS)/controller.tar $(PARTS)/site $(PARTS)/bin
$(PARTS)/program.tar: $(PARTS)/bin
$(PARTS)/program.tar $(PARTS)/controller.tar: $(PARTS)/site
	@SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) $(DOCKER) buildx build --platform '$(PLATFORM)' \
		--provenance=false --sbom=false --network none $(if $(BASE),--build-arg 'BASE=$(BASE)') \
		--build-arg 'VERSION=$(VERSION)' \
		--build-arg "REVISION=$$(git rev-parse HEAD 2>/dev/null || true)" \
		--target $(basename $(@F)) --output 'type=oci,dest=$@,rewrite-timestamp=true' $(BUILD_ARGS) \
		--file Dockerfile $(PARTS)

# The installer and what it needs, as Python of the image finds it. Hashes are checked here, and
# nothing that tells of this machine goes along. The folder gets its name when it is complete. Where
# there is a bin already, pip warns instead of writing into it.
$(PARTS)/site: $(MADE)
	@rm -rf '$@' '$@.tmp' $(PARTS)/wheel && mkdir -p $(PARTS)
	@$(PIP) wheel --no-deps --no-build-isolation --wheel-dir $(PARTS)/wheel .
	@$(PIP) install $(FOR_IMAGE) --require-hashes --target '$@.tmp' -r requirements.lock
	@rm -rf '$@.tmp/bin'
	@$(PIP) install $(FOR_IMAGE) --no-index --find-links $(PARTS)/wheel --target '$@.tmp' \
		'cto==$(VERSION)'
	@rm -rf '$@.tmp/bin' '$@.tmp'/*.dist-info/RECORD '$@.tmp'/*.dist-info/REQUESTED
	@chmod -R u=rwX,go=rX '$@.tmp' && mv '$@.tmp' '$@'

$(PARTS)/bin: $(MADE)
	@$(BIN)/cto bundle tools --out '$@' --platform '$(PLATFORM)'
