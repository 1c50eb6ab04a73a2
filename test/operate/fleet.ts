/**
 * Runs replicas of the real app for the test of the recording rules: policies, exploration, receipts and feedback are real.
 * Committed scores replace those of a network, so that the truth about every sample is known.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';

import { encodeRequest } from '../../clients/typescript/src/request.js';
import { uniformNumbers } from '../../demo/world/node/random.js';
import type { Scored } from '../../src/api/score-schemas.js';
import type { Policy } from '../../src/decision/policy.js';
import { KeyRing } from '../../src/feedback/keys.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { fakeEngine, LIMITS, operatorFiles, startApp, type TestApp } from '../support/app.js';
import type { CaptionScores } from '../support/test-scores.js';

const METRIC_LINE = /^(diffusion_probe_\w+)(?:\{(.*)\})? (\S+)$/;
/** Most lines are buckets, and the rules read only those of the feedback delay. */
const UNUSED_NAME = /^(?!.*feedback_delay).*_bucket$/;
const KEYS = new KeyRing([{ id: 'test', secret: Buffer.alloc(32, 7) }]);

/** What happened to the samples of some traffic: one entry per sample. */
export interface GroundTruth {
  readonly scores: number[];
  readonly quality: number[];
  readonly wouldDrop: boolean[];
  dropped: number;
}

export interface FleetOptions {
  readonly manifest: Manifest;
  readonly step: number;
  readonly policy: Policy;
  /** The share of finished images whose quality is reported. */
  readonly coverage: number;
  readonly replicas: number;
}

export class Fleet {
  /** All scrapes so far, in OpenMetrics text. */
  readonly scrapes: string[] = [];
  readonly #t: TestContext;
  readonly #options: FleetOptions;
  readonly #random = uniformNumbers('fleet');
  readonly #replicas: TestApp[] = [];
  /** What the engine returns next. */
  #scores: readonly number[] = [];
  #posts = 0;

  constructor(t: TestContext, options: FleetOptions) {
    this.#t = t;
    this.#options = options;
  }

  async start(): Promise<void> {
    for (let index = 0; index < this.#options.replicas; index += 1) await this.restart(index);
  }

  /** Scores the candidates of one caption at one replica and reports their qualities to the next. Adds to `truth`. */
  async sendGroup({ scores, quality }: CaptionScores, truth: GroundTruth): Promise<void> {
    this.#scores = scores;
    const type = { 'content-type': 'application/octet-stream' };
    const { results } = await this.#post<Scored>('/score', this.#scoreBody(scores.length), type);
    for (const [index, { would_drop: wouldDrop, decision }] of results.entries()) {
      truth.scores.push(scores[index] ?? NaN);
      truth.quality.push(quality[index] ?? NaN);
      truth.wouldDrop.push(wouldDrop);
      if (decision === 'drop') truth.dropped += 1;
    }
    const feedback = results
      .filter(({ decision }) => decision === 'keep' && this.#random() < this.#options.coverage)
      .map(({ index, receipt }) => ({ receipt, quality: quality[index] }));
    if (feedback.length === 0) return;
    const { accepted } = await this.#post<{ accepted: number }>('/feedback', { feedback });
    assert.equal(accepted, feedback.length);
  }

  /** Reads /metrics of every replica. @param time of the scrape, Unix time in s. */
  async scrape(time: number): Promise<void> {
    for (const [index, { app }] of this.#replicas.entries()) {
      const { body } = await app.inject('/metrics');
      const lines = body.split('\n').flatMap((line) => {
        const [, name, labels = '', value] = METRIC_LINE.exec(line) ?? [];
        if (name === undefined || UNUSED_NAME.test(name)) return [];
        return `${name}{instance="replica-${index}"${labels && `,${labels}`}} ${value} ${time}\n`;
      });
      this.scrapes.push(lines.join(''));
    }
  }

  /** Starts a replica anew. What it counted since the last scrape is lost. */
  async restart(index: number): Promise<void> {
    await this.#replicas[index]?.app.close();
    this.#replicas[index] = await this.#startReplica();
  }

  #startReplica(): Promise<TestApp> {
    const { manifest, policy } = this.#options;
    const { name, version } = manifest;
    const probe = { ...fakeEngine().resolve(undefined), name, version, manifest };
    const engine = fakeEngine({
      probes: () => [{ name, version, state: 'serving', probe }],
      resolve: () => probe,
      score: async () => ({
        scores: Float32Array.from(this.#scores),
        queueMs: 0,
        inferenceMs: 0,
        batchSamples: this.#scores.length,
      }),
    });
    const policies = { default: { policy, allow_override: true }, models: {} };
    return startApp(this.#t, engine, {
      operatorFiles: operatorFiles({ policies: () => policies, keys: () => KEYS }),
      limits: { ...LIMITS, maxSamplesPerRequest: 64 },
    });
  }

  /** Each call goes to the next replica. */
  async #post<Answer>(url: string, payload: object, headers: Record<string, string> = {}): Promise<Answer> {
    this.#posts += 1;
    const { app } = this.#replicas[this.#posts % this.#replicas.length] ?? assert.fail('no replica');
    const response = await app.inject({ method: 'POST', url, headers, payload });
    assert.equal(response.statusCode, 200, response.body);
    return response.json<Answer>();
  }

  /** Attention of zeros: the fake engine does not read it. */
  #scoreBody(samples: number): Buffer {
    const { manifest, step } = this.#options;
    const { layers, height, width } = manifest.capture;
    const point = manifest.decision_points.find((candidate) => candidate.step === step) ?? assert.fail();
    const shape = [samples, layers.length, 1, height, width];
    const data = new Uint16Array(shape.reduce((product, size) => product * size, 1));
    const sampleIds = Array.from({ length: samples }, (_, index) => `${this.#posts}-${index}`);
    const input = { attention: { dtype: 'F16', shape, data }, timestep: point.timestep } as const;
    return Buffer.from(encodeRequest(input, { sampleIds }));
  }
}
