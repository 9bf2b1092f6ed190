# One image, many commands: eo api, eo relay, eo worker, eo sandbox, eo migrate, eo reconcile.
# It has what these need and no more: no embedded servers, no demo, nothing that only makes or tests.
FROM python:3.11.14-slim-bookworm AS build
COPY requirements-image.txt /src/
# --no-deps: the locked list is complete, and leaves out what a library asks for and nobody imports.
RUN python -m venv /opt/eo \
 && /opt/eo/bin/pip install --no-cache-dir --no-deps --require-hashes -r /src/requirements-image.txt
COPY . /src
# Of the API docs' browser files the page needs two; pip and setuptools have done their work.
RUN /opt/eo/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src \
 && find /opt/eo/lib/python3.11/site-packages/swagger_ui/static -type f \
    -not -name swagger-ui.css -not -name swagger-ui-bundle.js -not -name 'favicon-*.png' -delete \
 && /opt/eo/bin/pip uninstall --yes --quiet setuptools pip

FROM python:3.11.14-slim-bookworm
COPY --from=build /opt/eo /opt/eo
ENV PATH=/opt/eo/bin:$PATH PYTHONUNBUFFERED=1 EO_HOST=0.0.0.0 EO_DATA_DIR=/data
# The sandbox's books; everything else is in PostgreSQL.
RUN install -d -o 65532 -g 65532 -m 0700 /data
VOLUME /data
USER 65532:65532
WORKDIR /data
EXPOSE 8000
# Exec form: SIGTERM reaches the process.
ENTRYPOINT ["eo"]
CMD ["--help"]
