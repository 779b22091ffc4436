# The controller, and the installer without a bundle, which is the same with tools. `make image`
# gathers what goes in below build/image, builds both without any network, and puts the bundle in
# afterwards, as layers of its own (`cto bundle image`): a gigabyte that is compressed already is not
# packed and copied again. The controller's image is in that bundle.
#
# python:3.13-slim-trixie. Another base needs Python 3.13 as python3, and setpriv (util-linux).
ARG BASE=docker.io/library/python:3.13-slim-trixie@sha256:9d2e5553305c7c7b0097999bb17187c69b921ccd6bc9d40e4bb5ebe652c00285
FROM ${BASE} AS controller

COPY site/ /opt/cto/site/
COPY --chmod=0755 <<"END" /usr/local/bin/cto-controller
#!/usr/bin/env -S python3 -I
import sys

sys.path.insert(0, "/opt/cto/site")

from cto_controller.__main__ import main

sys.exit(main())
END

# Bytecode that no time stamp makes invalid, by one process after the other: the same bytes again.
RUN python3 -m compileall -q -j1 --invalidation-mode unchecked-hash /opt/cto/site

ARG VERSION=0
ARG REVISION=
LABEL org.opencontainers.image.title="cto-controller" \
      org.opencontainers.image.description="Runs coding agents as Jobs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

USER 1000
ENTRYPOINT ["cto-controller"]


FROM controller AS program

USER 0
COPY bin/ /usr/local/bin/
COPY --chmod=0755 <<"END" /usr/local/bin/cto
#!/usr/bin/env -S python3 -I
import sys

sys.path.insert(0, "/opt/cto/site")

from cto.__main__ import main

sys.exit(main())
END
# Whoever runs this as another user finds the kubeconfig below /root, too, and may write the caches.
RUN install -d -m 1777 /var/cache/cto /var/lib/cto && chmod 0711 /root

ENV HOME=/root \
    CTO_TOOLS=/usr/local/bin \
    CTO_CACHE_DIR=/var/cache/cto \
    CTO_STATE_DIR=/var/lib/cto

LABEL org.opencontainers.image.title="cto" \
      org.opencontainers.image.description="Installs a multi-agent development platform on Kubernetes"

ENTRYPOINT ["cto"]
