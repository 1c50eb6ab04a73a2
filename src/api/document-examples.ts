/** Examples of requests and answers for the OpenAPI document. */
import { ERRORS, type ErrorCode } from '../errors.js';

const RECEIPT = 'eyJ2IjoxfQ.c2lnbmF0dXJl';
const POLICY = { name: 'max_false_drop', alpha: 0.05 };

const scored = {
  outcome: 'scored',
  model: 'pictogram',
  version: 1,
  provider: 'cpu',
  policy: POLICY,
  conditions: 'foreign',
  foreign_conditions: ['call.guidance_scale'],
  results: [
    {
      index: 0,
      id: 'seed-1',
      score: 0.71,
      percentile: 42.5,
      p_good: 0.63,
      rank: 1,
      threshold: 0.52,
      would_drop: false,
      override: null,
      decision: 'keep',
      reason: 'above_threshold',
      receipt: RECEIPT,
    },
  ],
};

const failedOpen = {
  outcome: 'failed_open',
  reason: 'deadline',
  model: null,
  version: null,
  provider: null,
  policy: null,
  results: [],
};

const models = {
  models: [
    {
      name: 'pictogram',
      version: 2,
      state: 'refused',
      reason: 'probe.json is missing',
      provider: null,
      fallback: null,
      batching: null,
      sha256: null,
      policy: null,
      policy_override: null,
      on_foreign_conditions: null,
      contract: null,
    },
  ],
  policies_refusal: null,
};

/** Examples by operation, of the JSON or text body of its answer 200. */
export const ANSWERS: Readonly<Record<string, Readonly<Record<string, object | string>>>> = {
  score: { scored, failed_open: failedOpen },
  feedback: { one_refused: { accepted: 1, refused: [{ index: 1, reason: 'expired' }] } },
  listModels: { one_refused: models },
  reloadModels: {
    one_refused: {
      ...models,
      changes: [{ name: 'pictogram', version: 2, change: 'refused', reason: 'probe.json is missing' }],
    },
  },
  live: { live: { status: 'live' } },
  ready: { ready: { status: 'ready', models: [{ name: 'pictogram', version: 1, provider: 'cpu' }] } },
  metrics: { one: '# TYPE diffusion_probe_requests_total counter\n' },
};

/** Examples by operation, of its JSON request body. */
export const REQUESTS: Readonly<Record<string, Readonly<Record<string, object>>>> = {
  feedback: { one: { feedback: [{ receipt: RECEIPT, quality: 0.78 }] } },
};

/** A problem document for each code that a response's description lists. */
export function problemExamples(description: string): Record<string, { value: object }> {
  const codes = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => description.includes(`\`${code}\``));
  return Object.fromEntries(
    codes.map((code) => {
      const { status, title } = ERRORS[code];
      return [
        code,
        { value: { type: `urn:diffusion-probe:problem:${code}`, title, status, detail: `${title}.`, code } },
      ];
    }),
  );
}
