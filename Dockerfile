# The CPU image of the service: docker build -t diffusion-probe . && docker run -p 8080:8080 diffusion-probe
# `--target demo` adds the page at /, `--target traffic` builds the image that sends the demo's traffic instead.
ARG NODE_IMAGE=node:22-bookworm-slim

# The stages that run commands use the platform of the builder, so that an image for another one needs no emulation.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY clients/typescript/package.json clients/typescript/
RUN npm ci
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
COPY clients clients
COPY demo demo
RUN npm run build

FROM build AS page
COPY openapi/logo.svg openapi/
COPY reference reference
RUN npm run build:page

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS dependencies
ARG TARGETARCH
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY clients/typescript/package.json clients/typescript/
# Removed: ONNX Runtime's libraries for other platforms, and the link to the client, which the service does not use.
RUN npm ci --omit=dev \
  && case "$TARGETARCH" in amd64) arch=x64 ;; *) arch=$TARGETARCH ;; esac \
  && find node_modules/onnxruntime-node/bin/napi-v* -mindepth 2 -maxdepth 2 -not -path "*/linux/$arch" -exec rm -r {} + \
  && rm -r node_modules/@diffusion-probe

FROM ${NODE_IMAGE} AS base
WORKDIR /app
# The process writes no files: run it with a read-only root file system.
ENV NODE_ENV=production ORT_DISABLE_TELEMETRY=1
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY package.json ./
# A number, so that Kubernetes can check that the user is not root.
USER 1000:1000

FROM base AS traffic
COPY --from=build /app/dist/clients dist/clients
COPY --from=build /app/dist/demo dist/demo
COPY reference reference
LABEL org.opencontainers.image.title="Diffusion Probe: demo traffic" \
  org.opencontainers.image.licenses="Apache-2.0"
ENTRYPOINT ["node", "--enable-source-maps", "dist/demo/traffic.js"]

FROM base AS server
ARG VERSION=0.2.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Diffusion Probe" \
  org.opencontainers.image.description="Scores text-to-image samples mid-denoise and decides which are worth finishing" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.licenses="Apache-2.0"
ENV HOST=0.0.0.0 PORT=8080
COPY openapi openapi
COPY models models
EXPOSE 8080
# Liveness, not readiness: a replica that is full or still loading must not be restarted.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/livez`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# No init process is needed: Node handles SIGTERM itself, and waits for the process that tests probes.
ENTRYPOINT ["node", "--enable-source-maps", "dist/src/main.js"]

FROM server AS demo
COPY --from=page /app/dist/page page
ENV STATIC_DIR=/app/page

# The last stage is the image of a build without --target.
FROM server AS service
