# Two images: `docker build --target gateway -t epm-gateway .` and `docker build --target models -t epm-models .`
# Pin the base by digest where builds must be the same to the byte: --build-arg BASE=debian:bookworm-slim@sha256:...
ARG BASE=debian:bookworm-slim

# libnghttp2 is for EPM_LISTENER=h2: `epm warm` compiles that listener where it is there.
FROM ${BASE} AS python
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3.11 libnghttp2-14 \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/apt /var/log/dpkg.log \
 && groupadd --gid 65532 epm \
 && useradd --key UID_MAX=65535 --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin epm

FROM python AS build
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3.11-venv ca-certificates
# Tools that build stay in /opt/build; /opt/epm holds what serves, without pip.
COPY requirements/bootstrap.txt requirements/gateway.txt /src/requirements/
RUN python3.11 -m venv /opt/build \
 && python3.11 -m venv --without-pip /opt/epm \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r /src/requirements/bootstrap.txt \
 && /opt/build/bin/pip --python /opt/epm/bin/python install --no-cache-dir --require-hashes --no-deps \
      --only-binary :all: -r /src/requirements/gateway.txt
COPY setup.cfg pyproject.toml README.md /src/
COPY serving /src/serving
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels /src \
 && /opt/build/bin/pip --python /opt/epm/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl
# Kernels are compiled here for every processor of the x86-64-v3 level (AVX2; since 2013, 2015), not for this machine.
# The same two values are in the environment when it runs: kernels of other values would not be found and be compiled again.
# Older processors, or arm64: --build-arg NUMBA_CPU_NAME=generic.
ARG NUMBA_CPU_NAME=x86-64-v3
ARG NUMBA_CPU_FEATURES=
RUN NUMBA_CPU_NAME="${NUMBA_CPU_NAME}" NUMBA_CPU_FEATURES="${NUMBA_CPU_FEATURES}" EPM_JIT_CACHE_DIR=/var/cache/epm \
    /opt/epm/bin/epm warm

FROM python AS gateway
ARG NUMBA_CPU_NAME=x86-64-v3
ARG NUMBA_CPU_FEATURES=
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="epm-gateway" \
      org.opencontainers.image.description="Feature gateway and inference backend for enterprise performance management" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
COPY --from=build /opt/epm /opt/epm
COPY --from=build /var/cache/epm /var/cache/epm
# onnxruntime's official builds send events to their maker unless told not to (Privacy.md of the package).
ENV PATH=/opt/epm/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    NUMBA_CPU_NAME="${NUMBA_CPU_NAME}" \
    NUMBA_CPU_FEATURES="${NUMBA_CPU_FEATURES}" \
    ORT_DISABLE_TELEMETRY=1 \
    EPM_JIT_CACHE_DIR=/var/cache/epm \
    EPM_MODEL_REPO=/models \
    EPM_HOST=0.0.0.0
USER 65532:65532
EXPOSE 8500 8501
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('EPM_HTTP_PORT', '8501') + '/readyz', timeout=2)"]
ENTRYPOINT ["epm", "serve"]

FROM ${BASE} AS models
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="epm-models" \
      org.opencontainers.image.description="Model repository; run with a folder, it copies itself there and checks every digest" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="debian:bookworm-slim"
COPY k8s/copy_models.sh /usr/local/bin/copy-models
COPY model_repo /models
# A checkout under a stricter umask than 022 is one that user 65532 could neither run nor read.
RUN chmod -R a+rX /models && chmod 755 /usr/local/bin/copy-models
USER 65532:65532
ENTRYPOINT ["copy-models"]
CMD ["/target"]
