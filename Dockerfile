# syntax=docker/dockerfile:1
# One image with every service and the dashboard; the command chooses which one runs: `docker run tapeline producer`.

# --- the web page ---------------------------------------------------------------------------------------------------
FROM node:22-bookworm-slim AS dashboard
WORKDIR /src
COPY dashboard/package.json dashboard/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY dashboard/ ./
RUN npm run build

# --- the services ---------------------------------------------------------------------------------------------------
FROM rust:1.95-bookworm AS services
WORKDIR /src
COPY Cargo.toml Cargo.lock .env.example ./
COPY market/ market/
COPY business/ business/
COPY archive/ archive/
COPY service/ service/
COPY sink/ sink/
COPY producer/ producer/
COPY consumer-trades/ consumer-trades/
COPY consumer-bars/ consumer-bars/
COPY bars-api/ bars-api/
COPY realtime-gateway/ realtime-gateway/
COPY feed-simulator/ feed-simulator/
COPY local-stack/ local-stack/
COPY bench/ bench/
COPY sql/ sql/
# The caches outlive the layer, so that a changed file compiles its own crate and those above it, not the world.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
        --package producer --package consumer-trades --package consumer-bars \
        --package bars-api --package realtime-gateway --package feed-simulator \
        --features service/kafka-tls \
    && install --strip -D --target-directory=/out \
        target/release/producer target/release/consumer-trades target/release/consumer-bars \
        target/release/bars-api target/release/realtime-gateway target/release/feed-simulator

# --- what runs ------------------------------------------------------------------------------------------------------
FROM debian:bookworm-slim
# curl is for health checks; certificates for feeds and servers; OpenSSL for Kafka.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tapeline \
    && install -d -o tapeline -g tapeline /var/lib/tapeline/spool /var/lib/tapeline/archive
COPY --from=services /out/ /usr/local/bin/
COPY --from=dashboard /src/dist/ /usr/share/tapeline/dashboard/
ENV DASHBOARD_DIR=/usr/share/tapeline/dashboard \
    SPOOL_DIR=/var/lib/tapeline/spool
USER 10001
WORKDIR /var/lib/tapeline
# SIGTERM is a graceful stop: every service finishes what it holds.
STOPSIGNAL SIGTERM
