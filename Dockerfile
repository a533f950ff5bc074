# The image of the gateway: dependencies as locked, no compiler, no pip in the environment, no root.
# Base images are pinned by tag, so that a rebuild takes their security fixes; pin a digest in your
# own registry's copy where a build must be the same bytes twice.

FROM python:3.12-slim AS builder

# A compiled environment that is copied whole; the base image's own pip fills it.
RUN ["python", "-m", "venv", "--without-pip", "/opt/tollgate"]
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_PYTHON=/opt/tollgate/bin/python

WORKDIR /src
COPY requirements.lock ./
RUN pip install --no-cache-dir --only-binary :all: --require-hashes --requirement requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY auth auth
COPY gateway gateway
COPY inference inference
COPY scripts/slim-image.sh scripts/
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && scripts/slim-image.sh /opt/tollgate


FROM python:3.12-slim

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Tollgate" \
      org.opencontainers.image.description="ONNX models behind API keys, limits and an exact bill" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# The numbers are fixed: volumes and other containers refer to them. The folders are the only places
# that the server writes to; a new volume takes their owner and mode.
RUN groupadd --system --gid 10001 tollgate \
 && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
      --shell /usr/sbin/nologin tollgate \
 && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/tollgate \
 && install --directory --owner=10001 --group=10001 --mode=0710 /run/tollgate

COPY --from=builder /opt/tollgate /opt/tollgate
COPY scripts/healthcheck.py /opt/tollgate/healthcheck.py
COPY --chown=10001:10001 examples/models /models

# ONNX Runtime sends usage of its own to its makers unless told not to.
ENV PATH=/opt/tollgate/bin:$PATH \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    TOLLGATE_DATA_DIR=/var/lib/tollgate \
    TOLLGATE_MODEL_REPOSITORY=/models

USER 10001:10001
WORKDIR /
VOLUME ["/var/lib/tollgate", "/models"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --start-interval=1s --retries=3 \
  CMD ["python", "-I", "-S", "/opt/tollgate/healthcheck.py"]
ENTRYPOINT ["tollgate"]
CMD ["serve"]
