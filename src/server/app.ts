/** Owns the composition of the HTTP app: its routes, hooks and timeouts. It does not listen. */
import { fastify, type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { createSerializerCompiler, validatorCompiler } from 'fastify-zod-openapi';

import { requireApiKey } from '../api/access.js';
import { answerBrokenRequest } from './broken-requests.js';
import { collectDocument, registerDocs } from '../api/docs.js';
import type { ScoreExamples } from '../api/examples.js';
import { registerFeedback } from '../api/feedback.js';
import { registerHealth } from '../api/health.js';
import { registerMetrics } from '../api/metrics.js';
import { registerModels } from '../api/models.js';
import { answerFrameworkError, installProblemHandlers } from '../api/problems.js';
import { createScorePipeline, type ScoreLimits } from '../api/score-pipeline.js';
import { registerScore } from '../api/score.js';
import type { Engine } from '../engine/types.js';
import { FeedbackIntake } from '../feedback/intake.js';
import type { OperatorFiles } from '../config/operator-files.js';
import type { Metrics } from '../telemetry/metrics.js';
import type { Tracing } from '../telemetry/tracing.js';

/** Above the idle timeouts of common load balancers, so that they close idle connections and not we. */
const KEEP_ALIVE_TIMEOUT_MS = 72_000;
const HEADERS_TIMEOUT_MS = 15_000;
/** How often Node looks for requests that take too long to arrive, ms. */
const TIMEOUT_CHECK_MS = 5000;
const CLIENT_CLOSED_REQUEST = 499;
const REMEMBERED_RECEIPTS = 100_000;

declare module 'fastify' {
  interface FastifyRequest {
    /** When the request came in, on the clock of performance.now(), ms. */
    arrivedAt: number;
  }
}

export interface AppOptions {
  readonly engine: Engine;
  readonly metrics: Metrics;
  /** Left out: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly log: FastifyBaseLogger;
  readonly limits: ScoreLimits;
  /** The policies, the keys of receipts and the API keys. */
  readonly operatorFiles: Pick<OperatorFiles, 'policies' | 'policiesRefusal' | 'keys' | 'apiKeys'>;
  /** From a request's first byte to its last at most, ms. */
  readonly requestTimeoutMs: number;
  /** Where the metrics are instead of here, if they have a port of their own. */
  readonly metricsPort?: number;
  /** From a decision to its feedback at most, s. */
  readonly receiptLifetimeSeconds: number;
  /** True from the first signal to stop on. */
  readonly isDraining: () => boolean;
  readonly examples: ScoreExamples;
  /** Of this service, for the OpenAPI document. */
  readonly version: string;
}

/** Builds the app; close it to end its connections. The engine remains the caller's. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const { engine, metrics, examples, isDraining, operatorFiles } = options;
  const { policies, policiesRefusal, keys, apiKeys } = operatorFiles;
  const app: FastifyInstance = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    requestTimeout: options.requestTimeoutMs,
    http: {
      headersTimeout: Math.min(HEADERS_TIMEOUT_MS, options.requestTimeoutMs),
      connectionsCheckingInterval: Math.min(TIMEOUT_CHECK_MS, options.requestTimeoutMs),
    },
    // What is on its way while the app closes is still answered: a refusal would cost images.
    return503OnClosing: false,
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: answerFrameworkError(metrics),
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(createSerializerCompiler({ stringify: JSON.stringify }));
  // No route but /score and /feedback takes a body; elsewhere it is left unread, so that 404 and 405 come before 415.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _payload, done) => done(null));
  installProblemHandlers(app, metrics);
  installHooks(app, metrics, isDraining);
  requireApiKey(app, apiKeys);

  await collectDocument(app, options.version, examples);
  const pipeline = createScorePipeline({ ...options, policies, keys });
  const intake = new FeedbackIntake({
    keys,
    observer: metrics.feedbackObserver,
    lifetimeSeconds: options.receiptLifetimeSeconds,
    remembered: REMEMBERED_RECEIPTS,
  });
  await app.register(registerScore, { pipeline, metrics, tracing: options.tracing });
  await app.register(registerFeedback, { intake });
  await app.register(registerModels, { engine, policies, policiesRefusal });
  await app.register(registerHealth, { engine, isDraining });
  if (options.metricsPort === undefined) await app.register(registerMetrics, { metrics, engine, policies });
  await app.register(registerDocs);
  await app.ready();
  return app;
}

function installHooks(app: FastifyInstance, metrics: Metrics, isDraining: () => boolean): void {
  app.decorateRequest('arrivedAt', 0);
  app.addHook('onRequest', async (request, reply) => {
    request.arrivedAt = performance.now();
    // Not onResponse: it stays away when the client has left.
    reply.raw.once('close', () => {
      const route = request.routeOptions.url ?? 'unknown';
      const status = reply.raw.writableFinished ? reply.statusCode : CLIENT_CLOSED_REQUEST;
      metrics.countRequest(route, request.method, status);
    });
  });
  // A kept connection would hold app.close() for the whole keep-alive timeout (fastify/fastify#7044).
  app.addHook('onSend', async (_request, reply) => {
    if (isDraining()) reply.header('connection', 'close');
  });
}
