# syntax=docker/dockerfile:1
# yolo-worker, the queue side. From the root of the repository:
#   docker build -f Dockerfiles/yolo-worker.Dockerfile -t yolo-worker .

# ---- The same in all three files, so that one builder compiles once for all three images. -----------------------------
ARG RUST_IMAGE=rust:1.95-slim-trixie

FROM ${RUST_IMAGE} AS chef
RUN cargo install cargo-chef --version 0.1.78 --locked
WORKDIR /src

# What the dependencies are, and nothing else of the sources.
FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
# A layer of dependencies alone: compiled again only when a Cargo.toml or Cargo.lock changes.
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --profile dist --locked -p polybot -p yolo-worker -p metric-streamer
COPY . .
# Which commit the programs say they are: there is no repository here. Not before this, so that the layer above is kept.
ARG POLYBOT_COMMIT=
# The same packages as above: other packages would be other features, and the dependencies compiled again.
RUN cargo build --profile dist --locked -p polybot -p yolo-worker -p metric-streamer
# ---- From here on this image's own. -----------------------------------------------------------------------------------

# The model, baked in: a name in models/models.toml, fetched and checked by its sum. Built with `--build-arg MODEL=` there
# is none, and MODEL says at run time which to use. The bench shows that this program and this model work together.
FROM build AS model
ARG MODEL=yolo12n
RUN mkdir /models \
    && if [ -n "$MODEL" ]; then MODEL_CACHE=/models target/dist/yolo-worker bench --model "$MODEL" --runs 1; fi \
    # Fetched files are their owner's alone, and the final image runs as somebody else.
    && chmod --recursive a+rX /models

# The program, the shared libraries it names (glibc and libgcc, 3 MB), and the certificates that TLS trusts: all
# that it needs of a system.
FROM build AS files
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir -p /files/etc/ssl/certs \
    && cp target/dist/yolo-worker /files/ \
    && ldd target/dist/yolo-worker | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory=/files \
    && cp --dereference /etc/ssl/certs/ca-certificates.crt /files/etc/ssl/certs/

FROM scratch
LABEL org.opencontainers.image.title="yolo-worker" \
      org.opencontainers.image.description="Polybot's queue side: detects objects in photos" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=files /files/ /
COPY --from=model /models/ /models/
ARG MODEL=yolo12n
ENV MODEL=$MODEL MODEL_CACHE=/models
# Nobody in particular. No file here belongs to it, and nothing is ever written: the root filesystem can be read-only.
USER 65532:65532
EXPOSE 8081
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/yolo-worker", "healthcheck"]
# Not through a shell, so that SIGTERM reaches it: it then finishes what is in flight.
ENTRYPOINT ["/yolo-worker"]
