/**
 * The Open Inference Protocol, version 2, with Triton's extensions, for clients such as tritonclient. It answers the requests of
 * POST /score in another form. https://github.com/kserve/open-inference-protocol
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { Engine, ServedProbe } from '../engine/types.js';
import { problem } from '../errors.js';
import {
  encodeInference,
  type InferenceAnswer,
  type InferenceBody,
  type OutputTensor,
} from '../wire/inference-protocol.js';
import type { JsonThread } from '../wire/json-thread.js';
import { CODINGS, inferenceFormat } from './body-format.js';
import { checkReady } from './health.js';
import { describeConfig, describeModel, describeStatistics, OUTPUTS } from './inference-models.js';
import { sendProblem } from './problems.js';
import { ClientGoneError, MAX_DEADLINE_MS } from './request-deadline.js';
import { answerScore, type ScoreRouteOptions } from './score-exchange.js';
import type { ScoreLimits } from './score-pipeline.js';
import type { ScoreAnswer } from './score-schemas.js';

const EXTENSIONS = ['binary_tensor_data', 'model_configuration', 'model_repository', 'statistics'];

export interface InferenceRoutesOptions extends ScoreRouteOptions {
  readonly engine: Engine;
  readonly json: JsonThread;
  readonly limits: ScoreLimits;
  readonly version: string;
  readonly isDraining: () => boolean;
}

interface ModelParams {
  readonly model: string;
  readonly version?: string;
}

/** Adds the routes under /v2. The OpenAPI document does not list them: the protocol has its own. */
export async function registerInference(app: FastifyInstance, options: InferenceRoutesOptions) {
  const { engine, metrics, limits, isDraining } = options;
  app.removeAllContentTypeParsers();
  // tritonclient sends no Content-Type.
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof ClientGoneError) return reply.code(error.status).send();
    return sendProblem(error, request, reply, metrics, ({ detail, code, field, expected }) => ({
      error: [
        detail,
        field && `at ${field}`,
        expected !== undefined && `expected ${JSON.stringify(expected)}`,
      ]
        .filter(Boolean)
        .join(' '),
      code,
    }));
  });
  const schema = { hide: true };
  const probeOf = ({ params }: FastifyRequest) => engine.resolve(referenceOf(params as ModelParams));
  const statisticsOf = async (probes: readonly ServedProbe[]) => ({
    model_stats: await Promise.all(
      probes.map(async (probe) => describeStatistics(probe, await metrics.statistics(probe))),
    ),
  });

  app.get('/v2', { schema }, async () => ({
    name: 'diffusion-probe',
    version: options.version,
    extensions: EXTENSIONS,
  }));
  app.get('/v2/health/live', { schema }, async () => ({ live: true }));
  app.get('/v2/health/ready', { schema }, async () => {
    checkReady(engine, isDraining);
    return { ready: true };
  });
  app.get('/v2/models/stats', { schema }, async () =>
    statisticsOf(engine.probes().flatMap(({ probe }) => probe ?? [])),
  );
  app.post('/v2/repository/index', { schema }, async () =>
    engine.probes().map(({ name, version, probe, reason = '' }) => ({
      name,
      version: String(version),
      state: probe ? 'READY' : 'UNAVAILABLE',
      reason,
    })),
  );
  app.post('/v2/repository/models/:model/load', { schema }, async (request) => {
    await engine.reload();
    probeOf(request);
    return {};
  });
  app.post('/v2/repository/models/:model/unload', { schema }, async (request) => {
    probeOf(request);
    throw problem(
      'malformed_request',
      'A probe is unloaded by removing its folder from the model repository.',
    );
  });
  for (const path of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.get(path, { schema }, async (request) => describeModel(probeOf(request), engine));
    app.get(`${path}/config`, { schema }, async (request) => describeConfig(probeOf(request), limits));
    app.get(`${path}/stats`, { schema }, async (request) => statisticsOf([probeOf(request)]));
    app.get(`${path}/ready`, { schema }, async (request) => {
      probeOf(request);
      return { ready: true };
    });
    app.post(`${path}/infer`, {
      schema,
      config: { contentCodings: Object.keys(CODINGS) },
      handler: (request, reply) => infer(request, reply, options),
    });
  }
}

async function infer(
  request: FastifyRequest,
  reply: FastifyReply,
  options: InferenceRoutesOptions,
): Promise<InferenceAnswer['body']> {
  const { json, limits } = options;
  const params = request.params as ModelParams;
  const reference = referenceOf(params);
  let received: InferenceBody | undefined;
  const answer = await answerScore(request, reply, options, (deadline) =>
    inferenceFormat(request.headers, {
      json,
      limits,
      onBody: (body) => {
        if (body.timeoutMs !== undefined) deadline.limit(checkedTimeout(body.timeoutMs));
        checkOutputs(body);
        received = { ...body, metadata: new Map(body.metadata).set('model', reference) };
        return received;
      },
    }),
  );
  const samples = received?.tensors.get('timestep')?.shape[0];
  // Without its body there is no telling how many samples are to be kept.
  if (!received || samples === undefined) throw problem('deadline', 'The body did not arrive in time.');
  const { id, outputs, isBinary } = received;
  const { body, jsonBytes } = encodeInference(
    headOf(answer, params, id),
    tensorsOf(answer, samples).filter(({ name }) => outputs?.has(name) ?? true),
    (name) => outputs?.get(name) ?? isBinary,
  );
  if (jsonBytes === undefined) reply.type('application/json');
  else reply.type('application/octet-stream').header('inference-header-content-length', jsonBytes);
  return body;
}

function headOf(answer: ScoreAnswer, { model, version }: ModelParams, id: string | undefined): object {
  const parameters =
    answer.outcome === 'scored'
      ? {
          outcome: answer.outcome,
          policy: JSON.stringify(answer.policy),
          conditions: answer.conditions,
          receipts: JSON.stringify(answer.results.map(({ receipt }) => receipt)),
        }
      : { outcome: answer.outcome, reason: answer.reason };
  return {
    ...(id !== undefined && { id }),
    model_name: answer.model ?? model,
    model_version: String(answer.version ?? version ?? ''),
    parameters,
  };
}

/** Without scores every sample is kept. */
function tensorsOf({ outcome, results }: ScoreAnswer, samples: number): OutputTensor[] {
  const isScored = outcome === 'scored';
  return OUTPUTS.map(({ name, datatype, valueOf, unscored }) => ({
    name,
    datatype,
    values: isScored
      ? results.map((result) => valueOf(result))
      : Array<number | null>(samples).fill(unscored),
  }));
}

/** As long as the header `x-deadline-ms` may be. */
function checkedTimeout(timeoutMs: number): number {
  if (timeoutMs <= MAX_DEADLINE_MS) return timeoutMs;
  throw problem('malformed_body', 'The timeout is too long.', {
    field: 'parameters.timeout',
    expected: `a number of microseconds up to ${MAX_DEADLINE_MS * 1000}`,
  });
}

function checkOutputs({ outputs }: InferenceBody): void {
  const names: string[] = OUTPUTS.map(({ name }) => name);
  const unknown = [...(outputs?.keys() ?? [])].find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw problem('malformed_body', 'There is no such output.', {
    field: 'outputs',
    received: unknown,
    expected: names,
  });
}

function referenceOf({ model, version }: ModelParams): string {
  return version === undefined ? model : `${model}@${version}`;
}
