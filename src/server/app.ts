/** Builds the HTTP apps from their routes, hooks and timeouts: the service, and the separate one for metrics. Neither listens. */
import { fastify, type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { createSerializerCompiler, validatorCompiler } from 'fastify-zod-openapi';

import { identifyTenants } from '../api/access.js';
import { jsonFormat } from '../api/body-format.js';
import { allowOrigins, PREFLIGHT_STATUS } from '../api/cors.js';
import { collectDocument, registerDocs, type ScoreExamples } from '../api/docs.js';
import { registerFeedback } from '../api/feedback.js';
import { registerHealth } from '../api/health.js';
import { registerInference } from '../api/inference.js';
import { type MetricsRouteOptions, registerMetrics } from '../api/metrics.js';
import { registerModels } from '../api/models.js';
import { answerFrameworkError, installProblemHandlers } from '../api/problems.js';
import { CLIENT_CLOSED_REQUEST } from '../api/request-deadline.js';
import { announceClose, type Closing, checkContentCoding, checkHeaders } from '../api/request-headers.js';
import { type ScoreLimits, ScorePipeline } from '../api/score-pipeline.js';
import { registerScore } from '../api/score.js';
import { registerStaticFiles } from '../api/static-files.js';
import type { Engine } from '../engine/types.js';
import { FeedbackFile } from '../feedback/file.js';
import { FeedbackIntake, type FeedbackObserver } from '../feedback/intake.js';
import type { OperatorFiles } from '../config/operator-files.js';
import { messageOf, StartError } from '../errors.js';
import { PredictionMargin } from '../prediction-margin.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Tracing } from '../telemetry/tracing.js';
import { JsonThread } from '../wire/json-thread.js';
import { Connections } from './connections.js';
import { SocketWait } from './socket-wait.js';

const HEADERS_TIMEOUT_MS = 15_000;
/** How often Node checks for requests that take too long to arrive, ms. */
const TIMEOUT_CHECK_MS = 5000;
const REMEMBERED_RECEIPTS = 100_000;
/** The label of requests to no route, a preflight among them. */
const NO_ROUTE = 'unknown';

declare module 'fastify' {
  interface FastifyRequest {
    /** When the request arrived, on the clock of performance.now(), ms. */
    arrivedAt: number;
  }
  interface FastifyInstance {
    connections: Connections;
  }
}

/** What both apps have. */
interface HttpOptions {
  readonly metrics: Metrics;
  readonly log: FastifyBaseLogger;
  /** Maximum time from a request's first byte to its last, ms. */
  readonly requestTimeoutMs: number;
  /** Time after which an idle connection is closed, ms. */
  readonly keepAliveTimeoutMs: number;
  /** True from the first reason to stop. */
  readonly isDraining: () => boolean;
}

export interface AppOptions extends HttpOptions {
  readonly engine: Engine;
  /** When omitted, nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly limits: ScoreLimits;
  /** The policies, the receipt keys and the API keys. */
  readonly operatorFiles: Pick<OperatorFiles, 'policies' | 'policiesRefusal' | 'keys' | 'apiKeys'>;
  /** The header that names the tenant of a request without API key, in lower case. */
  readonly tenantHeader?: string;
  /** The origins whose pages may call the service from a browser; `*` stands for all, none when omitted. */
  readonly corsOrigins?: readonly string[];
  /** The folder whose files are served at `/`, which shows the documentation when omitted. */
  readonly staticDir?: string;
  /** When set, the service has no /metrics: createMetricsApp() serves it on this port. */
  readonly metricsPort?: number;
  /** Maximum time from a decision to its feedback, s. */
  readonly receiptLifetimeSeconds: number;
  /** The file to which accepted feedback is appended; none when omitted. */
  readonly feedbackFile?: string;
  readonly examples: ScoreExamples;
  /** The service's version, for the OpenAPI document. */
  readonly version: string;
}

/** Builds the service's app. Closing the app ends its connections and leaves the engine open. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { engine, metrics, examples, isDraining, operatorFiles, corsOrigins = [], staticDir } = options;
  const { policies, policiesRefusal, keys, apiKeys } = operatorFiles;
  const app = createHttpApp(options);
  app.setValidatorCompiler(validatorCompiler);
  countRequests(app, metrics);
  metrics.watchOperatorFiles(operatorFiles);
  allowOrigins(app, corsOrigins);
  if (corsOrigins.length > 0) metrics.expectRoute(NO_ROUTE, ['OPTIONS'], [String(PREFLIGHT_STATUS)]);
  checkHeaders(app);
  identifyTenants(app, { apiKeys, tenantHeader: options.tenantHeader });
  checkContentCoding(app);

  await collectDocument(app, options.version, examples);
  const json = new JsonThread(options.limits.maxJsonBodyBytes);
  const pipeline = new ScorePipeline({ ...options, policies, keys });
  const intake = new FeedbackIntake({
    keys,
    observer: await feedbackObserver(app, options),
    lifetimeSeconds: options.receiptLifetimeSeconds,
    remembered: REMEMBERED_RECEIPTS,
  });
  const scoring = { pipeline, metrics, tracing: options.tracing, timerLateness: new PredictionMargin() };
  await app.register(registerScore, { ...scoring, json: jsonFormat(json, engine) });
  const { limits, version } = options;
  await app.register(registerInference, { ...scoring, engine, json, limits, version, isDraining });
  await app.register(registerFeedback, { intake, json });
  await app.register(registerModels, { engine, policies, policiesRefusal });
  await app.register(registerHealth, { engine, isDraining });
  if (options.metricsPort === undefined) await app.register(registerMetrics, { metrics, engine, policies });
  await app.register(registerDocs, {
    isKeyAsked: () => apiKeys() !== undefined,
    hasPage: staticDir !== undefined,
  });
  if (staticDir !== undefined) await app.register(registerStaticFiles, { folder: staticDir });
  await app.ready();
  return app;
}

/** Counts feedback, and appends it to a file where one is set. */
async function feedbackObserver(
  app: FastifyInstance,
  { metrics, feedbackFile, log }: AppOptions,
): Promise<FeedbackObserver> {
  const counts = metrics.feedbackObserver;
  if (feedbackFile === undefined) return counts;
  const file = new FeedbackFile(feedbackFile, (error, lines) =>
    log.error({ reason: messageOf(error), lines }, 'feedback could not be written to FEEDBACK_FILE'),
  );
  try {
    await file.open();
  } catch (error) {
    throw new StartError(`FEEDBACK_FILE cannot be written: ${messageOf(error)}`, { cause: error });
  }
  app.addHook('onClose', () => file.flushed());
  return {
    ...counts,
    onAccepted: (feedback) => {
      counts.onAccepted(feedback);
      file.add(feedback);
    },
  };
}

export interface MetricsAppOptions extends MetricsRouteOptions, HttpOptions {
  readonly metrics: Metrics;
}

/** Builds the app of the separate metrics port: /metrics and the health routes, without API keys. */
export async function createMetricsApp(options: MetricsAppOptions): Promise<FastifyInstance> {
  const app = createHttpApp(options);
  checkHeaders(app);
  checkContentCoding(app);
  await app.register(registerMetrics, options);
  await app.register(registerHealth, options);
  await app.ready();
  return app;
}

/** An app without routes, with the timeouts, the connections and the problem documents of both ports. */
function createHttpApp(options: HttpOptions): FastifyInstance {
  const { metrics, isDraining, requestTimeoutMs } = options;
  const closing: Closing = { isDraining, isLatest: (request) => connections.isLatest(request) };
  const answerError = answerFrameworkError(metrics);
  const app: FastifyInstance = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    keepAliveTimeout: options.keepAliveTimeoutMs,
    requestTimeout: requestTimeoutMs,
    http: {
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, requestTimeoutMs),
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, requestTimeoutMs),
      // checkHeaders() refuses a request without Host; Node would do so without a problem document.
      requireHostHeader: false,
    },
    // A request that arrives while the app closes is still answered, because refusing it would cost its images.
    return503OnClosing: false,
    clientErrorHandler: (error, socket) => connections.onClientError(error, socket),
    frameworkErrors: (error, request, reply) => {
      // No hook is called for these.
      announceClose(request, reply, closing);
      answerError(error, request, reply);
    },
  });
  const connections = new Connections(app.server);
  app.decorate('connections', connections);
  app.setSerializerCompiler(createSerializerCompiler({ stringify: JSON.stringify }));
  // Only /score and /feedback parse bodies. Other routes leave them unread, so that 404 and 405 come before 415.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  installProblemHandlers(app, metrics);
  app.addHook('onSend', (request, reply, _payload, done) => {
    announceClose(request, reply, closing);
    done();
  });
  return app;
}

function countRequests(app: FastifyInstance, metrics: Metrics): void {
  const socketWait = new SocketWait();
  app.decorateRequest('arrivedAt', 0);
  app.addHook('onRoute', ({ url, method, schema }) =>
    metrics.expectRoute(url, [method].flat(), Object.keys(schema?.response ?? {})),
  );
  // Hooks with callbacks: each promise would cost every request a turn of the microtask queue.
  app.addHook('onRequest', (request, reply, done) => {
    const now = performance.now();
    request.arrivedAt = now - socketWait.atMostMs(now);
    // The onResponse hook is not called when the client has left.
    reply.raw.once('close', () => {
      const route = request.routeOptions.url ?? NO_ROUTE;
      const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_CLOSED_REQUEST;
      metrics.countRequest(route, request.method, status);
    });
    done();
  });
}
