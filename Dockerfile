# syntax=docker/dockerfile:1.19
# One image for every process of ours; docker-compose.yml says which command each runs.
FROM python:3.11.14-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements-runtime.lock requirements-build.lock ./
# What runs, and apart from it what builds: the second stays in this stage.
RUN python -m venv /opt/soar && python -m venv /opt/build \
    && /opt/soar/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements-runtime.lock \
    && /opt/build/bin/pip install --require-hashes --no-deps --only-binary :all: -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY soar soar
COPY workers workers
COPY playbooks playbooks
RUN /opt/build/bin/pip wheel --no-index --no-deps --no-build-isolation -w /dist . \
    && /opt/soar/bin/pip install --no-index --no-deps /dist/*.whl \
    && /opt/soar/bin/python -m compileall -q /opt/soar/lib \
    && /opt/soar/bin/pip uninstall -y pip setuptools

FROM python:3.11.14-slim-bookworm

RUN groupadd --gid 10001 soar \
    && useradd --uid 10001 --gid soar --home-dir /var/lib/soar --create-home --shell /usr/sbin/nologin soar \
    && install -d -o soar -g soar -m 0750 /var/lib/soar/vault
COPY --from=build /opt/soar /opt/soar
ENV PATH=/opt/soar/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SOAR_HOME=/var/lib/soar SOAR_LOG_FORMAT=json SOAR_HEALTH_FILE=/tmp/soar.alive
WORKDIR /var/lib/soar
USER 10001:10001
STOPSIGNAL SIGTERM
# For workers; the web service checks its port instead (docker-compose.yml).
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "soar.runtime.health"]
ENTRYPOINT []
CMD ["soar", "--help"]
