# syntax=docker/dockerfile:1
# metric-streamer, which publishes what scaling follows. From the root of the repository:
#   docker build -f Dockerfiles/metric-streamer.Dockerfile -t metric-streamer .

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

# The program, the shared libraries it names (glibc and libgcc, 3 MB), and the certificates that TLS trusts: all
# that it needs of a system.
FROM build AS files
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir -p /files/etc/ssl/certs \
    && cp target/dist/metric-streamer /files/ \
    && ldd target/dist/metric-streamer | grep -o '/[^ ]*' | xargs cp --dereference --parents --target-directory=/files \
    && cp --dereference /etc/ssl/certs/ca-certificates.crt /files/etc/ssl/certs/

FROM scratch
LABEL org.opencontainers.image.title="metric-streamer" \
      org.opencontainers.image.description="Publishes how many workers are needed to CloudWatch" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=files /files/ /
# Nobody in particular. No file here belongs to it, and nothing is ever written: the root filesystem can be read-only.
USER 65532:65532
EXPOSE 9090
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 CMD ["/metric-streamer", "healthcheck"]
# Not through a shell, so that SIGTERM reaches it: it then finishes what is in flight.
ENTRYPOINT ["/metric-streamer"]
