# docker build .                  the front door and migrated/, for production
# docker build --target demo .    the same with the legacy shop beside it: make run in a box
# docker build --target legacy .  the legacy shop alone, as compose starts it

FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY requirements/build.txt requirements/extras.txt requirements/migrated.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/build
RUN python -m venv /opt/overgrow
RUN /opt/build/bin/python -m pip install --require-hashes -r requirements/build.txt
RUN /opt/overgrow/bin/python -m pip install --require-hashes -r requirements/runtime.txt
RUN /opt/overgrow/bin/python -m pip install --require-hashes -r requirements/migrated.txt
RUN /opt/overgrow/bin/python -m pip install --require-hashes -r requirements/extras.txt
COPY pyproject.toml LICENSE ./
COPY proxy proxy
RUN /opt/build/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /dist .
RUN /opt/overgrow/bin/python -m pip install --no-deps --no-index --find-links /dist overgrow

FROM python:3.13-slim-bookworm AS base
RUN useradd --system --uid 10001 --user-group --no-create-home overgrow
RUN install -d -o 10001 -g 10001 /etc/overgrow /var/lib/overgrow /var/lib/shop
WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 SHOP_DATA=/var/lib/shop/shop.sqlite3
STOPSIGNAL SIGTERM
USER overgrow

FROM base AS legacy
COPY legacy_stub legacy_stub
EXPOSE 9000
CMD ["python", "-m", "legacy_stub", "--host", "0.0.0.0", "--port", "9000"]

FROM base AS front
COPY --from=build /opt/overgrow /opt/overgrow
COPY migrated migrated
COPY --chown=10001:10001 routes.yaml /etc/overgrow/routes.yaml
# PYTHONPATH: the app beside the table is found by its folder, and /etc/overgrow has none.
ENV PATH=/opt/overgrow/bin:$PATH \
    PYTHONPATH=/app \
    OVERGROW_CONFIG=/etc/overgrow/routes.yaml \
    OVERGROW_STATE=/var/lib/overgrow
VOLUME ["/var/lib/overgrow"]
EXPOSE 8000 8001
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8001/healthz', timeout=2)"]

# python -m tests.release keeps the version here equal to that of the wheel.
LABEL org.opencontainers.image.title="overgrow" \
    org.opencontainers.image.version="0.1.0" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.source="https://github.com/overgrow/overgrow"

FROM front AS demo
COPY legacy_stub legacy_stub
COPY tests/demo.py tests/demo.py
CMD ["python", "-m", "tests.demo", "--host", "0.0.0.0"]

FROM front AS production
# Variables, not options, because an option would beat what `docker run --env` or a Deployment sets.
ENV OVERGROW_BIND=0.0.0.0:8000 \
    OVERGROW_ADMIN=0.0.0.0:8001 \
    OVERGROW_FROM_LAST_GOOD=1 \
    OVERGROW_DRAIN_DELAY=5s \
    OVERGROW_GRACE=20s \
    OVERGROW_ACCESS_LOG=json
CMD ["overgrow", "serve"]
