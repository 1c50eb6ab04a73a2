/**
 * Owns replicas of the real app for tests of its metrics: real policies, exploration, receipts and feedback. The scores
 * are committed ones in place of a network's, so that the truth about every sample is known.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

import type { Scored } from '../../src/api/score-schemas.js';
import type { Policy } from '../../src/decision/policy.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { KeyRing } from '../../src/feedback/keys.js';
import { uniformNumbers } from '../../demo/world/random.js';
import { encodeSafetensors } from '../../clients/typescript/src/safetensors.js';
import { fakeEngine, LIMITS, operatorFiles, startApp, type TestApp } from '../support/app.js';
import type { CaptionScores } from '../support/test-scores.js';

const OWN_LINE = /^(diffusion_probe_\w+)(?:\{(.*)\})? (\S+)$/;
/** Most of the lines, and no rule reads them. */
const UNUSED = /^(?!.*feedback_delay).*_bucket$/;
const KEYS = new KeyRing([{ id: 'test', secret: Buffer.alloc(32, 7) }]);
const BINARY = { 'content-type': 'application/octet-stream' };

/** What the traffic of a while was in truth. */
export interface Truth {
  readonly scores: number[];
  readonly quality: number[];
  readonly wouldDrop: boolean[];
  dropped: number;
}

export interface FleetOptions {
  readonly manifest: Manifest;
  readonly step: number;
  readonly policy: Policy;
  /** The share of finished images whose quality comes back. */
  readonly coverage: number;
  readonly replicas: number;
}

export class Fleet {
  readonly #t: TestContext;
  readonly #options: FleetOptions;
  readonly #random = uniformNumbers('fleet');
  readonly #scrapes: string[] = [];
  readonly #replicas: TestApp[] = [];
  /** What the network would say next. */
  #scores: readonly number[] = [];
  #groups = 0;

  private constructor(t: TestContext, options: FleetOptions) {
    this.#t = t;
    this.#options = options;
  }

  static async start(t: TestContext, options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(t, options);
    for (let index = 0; index < options.replicas; index += 1)
      fleet.#replicas.push(await fleet.#startReplica());
    return fleet;
  }

  /** All scrapes so far, in OpenMetrics text. */
  get scrapes(): readonly string[] {
    return this.#scrapes;
  }

  /** The candidates of one caption are asked about at one replica; their qualities go to the next one. */
  async serve({ scores, quality }: CaptionScores, truth: Truth): Promise<void> {
    this.#scores = scores;
    this.#groups += 1;
    const { results } = await this.#post<Scored>('/score', this.#scoreBody(scores.length), BINARY);
    for (const [index, { would_drop: wouldDrop, decision }] of results.entries()) {
      truth.scores.push(scores[index] ?? NaN);
      truth.quality.push(quality[index] ?? NaN);
      truth.wouldDrop.push(wouldDrop);
      if (decision === 'drop') truth.dropped += 1;
    }
    const feedback = results
      .filter(({ decision }) => decision === 'keep' && this.#random() < this.#options.coverage)
      .map(({ index, receipt }) => ({ receipt, quality: quality[index] }));
    this.#groups += 1;
    if (feedback.length === 0) return;
    const { accepted } = await this.#post<{ accepted: number }>('/feedback', { feedback });
    assert.equal(accepted, feedback.length);
  }

  /** Reads /metrics of every replica, as Prometheus would at that moment, Unix time in s. */
  async scrape(time: number): Promise<void> {
    for (const [index, { app }] of this.#replicas.entries()) {
      const { body } = await app.inject('/metrics');
      const lines = body.split('\n').flatMap((line) => {
        const [, name, labels = '', value] = OWN_LINE.exec(line) ?? [];
        if (name === undefined || UNUSED.test(name)) return [];
        return `${name}{instance="replica-${index}"${labels && `,${labels}`}} ${value} ${time}\n`;
      });
      this.#scrapes.push(lines.join(''));
    }
  }

  /** Ends a replica, with what it had counted since the last scrape, and starts it again from nothing. */
  async restart(index: number): Promise<void> {
    await this.#replicas[index]?.app.close();
    this.#replicas[index] = await this.#startReplica();
  }

  #startReplica(): Promise<TestApp> {
    const { manifest, policy } = this.#options;
    const probe = { name: manifest.name, version: manifest.version, provider: 'cpu', manifest } as const;
    const engine = fakeEngine({
      probes: () => [{ ...probe, state: 'serving', sha256: '0'.repeat(64) }],
      resolve: () => probe,
      score: async () => ({
        scores: Float32Array.from(this.#scores),
        queueMs: 0,
        inferenceMs: 0,
        batchSamples: this.#scores.length,
      }),
    });
    const book = { default: { policy, allow_override: true }, models: {} };
    return startApp(this.#t, engine, {
      operatorFiles: operatorFiles({ policies: () => book, keys: () => KEYS }),
      limits: { ...LIMITS, maxSamplesPerRequest: 64 },
    });
  }

  async #post<Answer>(url: string, payload: object, headers: Record<string, string> = {}): Promise<Answer> {
    const { app } = this.#replicas[this.#groups % this.#replicas.length] ?? assert.fail('no replica');
    const response = await app.inject({ method: 'POST', url, headers, payload });
    assert.equal(response.statusCode, 200, response.body);
    return response.json<Answer>();
  }

  #scoreBody(samples: number): Buffer {
    const { manifest, step } = this.#options;
    const { layers, height, width } = manifest.capture;
    const point = manifest.decision_points.find((candidate) => candidate.step === step) ?? assert.fail();
    const shape = [samples, layers.length, 1, height, width];
    const values = shape.reduce((product, size) => product * size, 1);
    const ids = Array.from({ length: samples }, (_, index) => `${this.#groups}-${index}`);
    return Buffer.from(
      encodeSafetensors(
        {
          attention: { dtype: 'F16', shape, data: new Uint16Array(values) },
          token_mask: { dtype: 'U8', shape: [samples, 1], data: new Uint8Array(samples).fill(1) },
          timestep: {
            dtype: 'F32',
            shape: [samples],
            data: new Float32Array(samples).fill(point.timestep),
          },
        },
        { sample_ids: JSON.stringify(ids) },
      ),
    );
  }
}
