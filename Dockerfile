# Owns the CPU image of the service: docker build -t diffusion-probe . && docker run -p 8080:8080 diffusion-probe
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY scripts scripts
COPY src src
RUN npm run build

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# ONNX Runtime brings the libraries of every platform; only this one's are needed.
RUN npm ci --omit=dev \
  && rm -rf node_modules/onnxruntime-node/bin/napi-v*/darwin node_modules/onnxruntime-node/bin/napi-v*/win32

FROM ${NODE_IMAGE}
LABEL org.opencontainers.image.title="Diffusion Probe" \
  org.opencontainers.image.description="Scores text-to-image samples mid-denoise and decides which are worth finishing" \
  org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /app
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 ORT_DISABLE_TELEMETRY=1
COPY --from=dependencies /app/node_modules node_modules
COPY --from=build /app/dist/src dist/src
COPY package.json ./
COPY openapi openapi
COPY models models
USER node
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/readyz`).then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# Node itself takes the signals as process 1: it drains on SIGTERM, and it starts no child processes to reap.
ENTRYPOINT ["node", "--enable-source-maps", "dist/src/main.js"]
