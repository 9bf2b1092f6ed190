# One image, many commands: eo api, eo relay, eo worker, eo sandbox, eo migrate, eo reconcile.
FROM python:3.11.14-slim-bookworm AS build
COPY requirements.txt /src/
RUN python -m venv /opt/eo \
 && /opt/eo/bin/pip install --no-cache-dir --require-hashes -r /src/requirements.txt
COPY . /src
RUN /opt/eo/bin/pip install --no-cache-dir --no-deps --no-build-isolation /src

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
