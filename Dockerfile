# The HTTP service: docker build --tag binsight . && docker run --read-only -p 8000:8000 binsight
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/binsight
COPY requirements/build.txt requirements/serve.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/build.txt \
    && /opt/binsight/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
        -r requirements/serve.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
    && /opt/binsight/bin/pip install --no-cache-dir --no-deps --no-index wheels/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin binsight \
    && install -d -o binsight /corrections
COPY --from=build /opt/binsight /opt/binsight
ENV PATH=/opt/binsight/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BINSIGHT_HOST=0.0.0.0 \
    BINSIGHT_PORT=8000
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['BINSIGHT_PORT'] + '/healthz', timeout=2)"]
ENTRYPOINT ["binsight", "serve"]
