# The service and its page on the processor, without a network of its own.
#
#   docker build --tag mien .
#   docker run --rm --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --publish 8000:8000 mien
#
# docs/serving.md says how to set limits and a key.
FROM python:3.11-slim-bookworm AS build
WORKDIR /build
RUN python -m venv /opt/build && python -m venv /opt/mien
# scripts/pin_container.py writes these; pip takes no file whose sha256 is not among theirs, and runs no code of others
COPY requirements requirements
RUN /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/build.txt && \
    /opt/mien/bin/pip install --no-cache-dir --require-hashes --only-binary :all: --requirement requirements/serve.txt
COPY pyproject.toml LICENSE NOTICE README.md ./
COPY src src
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-index --no-build-isolation --wheel-dir wheels . && \
    /opt/mien/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl && \
    /opt/mien/bin/pip check

FROM python:3.11-slim-bookworm
COPY --from=build /opt/mien /opt/mien
RUN useradd --system --uid 10001 --home-dir /nonexistent --shell /usr/sbin/nologin mien
ENV PATH=/opt/mien/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    HOME=/tmp \
    MIEN_HOST=0.0.0.0 \
    MIEN_PORT=8000
USER 10001
EXPOSE ${MIEN_PORT}
STOPSIGNAL SIGTERM
# a cluster may set MIEN_PORT to tcp://..., which the server takes for no port either
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["python", "-c", "import os, urllib.request as r; p = os.environ['MIEN_PORT']; r.urlopen(f'http://127.0.0.1:{p if p.isdecimal() else 8000}/healthz', timeout=4)"]
CMD ["mien", "serve"]
