# Two images of the same service: `cpu` (transformers, the embedded model inside, needs no network) and `gpu` (vLLM).
#
# `make image` builds them with docker or, without docker, with buildah. It passes the wheels that the host's pip fetched as
# the build context `wheels`, so that the build itself needs no network and pip's settings stay on the host. BASE_IMAGE is any
# Debian or Ubuntu with python3, its venv module and ca-certificates.
ARG BASE_IMAGE=python:3.11-slim-bookworm

# The default when no wheels are passed; pip then uses its index.
FROM scratch AS wheels
COPY requirements/embedded.lock /

# ---- build stages; only /opt/limrank is copied into the images ------------------------------------------------------
FROM ${BASE_IMAGE} AS builder
WORKDIR /build
COPY requirements/ requirements/
COPY image/install.sh image/prepare_models.py image/sbom.py image/health.py image/
RUN --mount=type=bind,from=wheels,source=/,target=/wheels image/install.sh tools

FROM builder AS cpu-environment
ARG TORCH=torch==2.13.0+cpu
RUN --mount=type=bind,from=wheels,source=/,target=/wheels image/install.sh "${TORCH}" service embedded
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY contract/ contract/
COPY cli/ cli/
COPY retrieval/ retrieval/
COPY llm/ llm/
COPY service/ service/
COPY synth/ synth/
COPY trainer/ trainer/
COPY evaluation/ evaluation/
COPY app/ app/
RUN image/install.sh finish

FROM builder AS gpu-environment
RUN --mount=type=bind,from=wheels,source=/,target=/wheels image/install.sh "" gpu embedded
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY contract/ contract/
COPY cli/ cli/
COPY retrieval/ retrieval/
COPY llm/ llm/
COPY service/ service/
COPY synth/ synth/
COPY trainer/ trainer/
COPY evaluation/ evaluation/
COPY app/ app/
RUN image/install.sh finish

# ---- runtime stages ------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS runtime
ARG BASE_IMAGE
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="limrank" \
      org.opencontainers.image.description="An open pointwise reranker: POST /rerank with absolute scores and reasoning traces." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
RUN groupadd --gid 10001 limrank \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin limrank
# The server writes only below /tmp, so the root file system may be read-only. With LIMRANK_HOST it starts only with a key
# file or LIMRANK_ALLOW_ANONYMOUS.
ENV PATH=/opt/limrank/bin:$PATH \
    HOME=/tmp \
    USER=limrank \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HF_HUB_DISABLE_TELEMETRY=1 \
    DO_NOT_TRACK=1 \
    LIMRANK_HOST=0.0.0.0 \
    LIMRANK_CACHE_DIR=/opt/limrank/models
WORKDIR /tmp
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["limrank-serve"]

FROM runtime AS gpu
# Triton compiles its launcher with a C compiler when the first kernel runs, so a GPU image needs one.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev python3-dev \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/apt /var/log/dpkg.log
COPY --from=gpu-environment /opt/limrank /opt/limrank
ENV LIMRANK_ENGINE=vllm VLLM_NO_USAGE_STATS=1 VLLM_DO_NOT_TRACK=1
HEALTHCHECK --interval=10s --timeout=5s --start-period=30m --retries=3 CMD ["python", "/opt/limrank/health.py"]
USER 10001:10001

# A build without --target makes the last stage.
FROM runtime AS cpu
COPY --from=cpu-environment /opt/limrank /opt/limrank
HEALTHCHECK --interval=10s --timeout=5s --start-period=3m --retries=3 CMD ["python", "/opt/limrank/health.py"]
USER 10001:10001
