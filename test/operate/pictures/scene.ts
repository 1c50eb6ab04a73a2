/**
 * Owns what happens in the pictures: the life of two replicas, much of it in a few minutes. Traffic that swells and ebbs, a new
 * version that gets a growing share, a rush that the service cannot follow, captions that become harder, a policies file
 * that is broken for a while, and all along the mistakes that callers make.
 */
import { setTimeout as delay } from 'node:timers/promises';

import { ProbeClient, type ScoreInput, type ScoreOutcome } from '../../../clients/typescript/src/index.js';
import type { Manifest } from '../../../src/probe/manifest.js';
import { seededRandom } from '../../support/samples.js';
import { CANARY, STABLE } from '../service.js';
import { type FinishedGroup, GROUP_SAMPLES, STEPS } from './pool.js';

/** Shares of the scene's time. */
const CANARY_FROM = 0.2;
const RUSH = [0.4, 0.5] as const;
const HARDER_FROM = 0.62;
const BROKEN_FILE = [0.75, 0.87] as const;
/** Of groups per second. */
const CALM = 3;
const SWELL = 2;
const RUSHING_CALLERS = 32;
const RUSH_DEADLINE_MS = 60;
const CALM_DEADLINE_MS = 2000;
const TO_THE_IMAGE_MS = 3000;

export interface SceneOptions {
  readonly origins: readonly string[];
  readonly manifest: Manifest;
  readonly pool: readonly FinishedGroup[];
  readonly seconds: number;
  readonly breakPolicies: () => Promise<void>;
  readonly mendPolicies: () => Promise<void>;
}

/** Plays it; resolves when the last answer is there. */
export async function play(options: SceneOptions): Promise<void> {
  const { seconds, breakPolicies, mendPolicies } = options;
  const scene = new Scene(options);
  const at = (share: number): Promise<void> => delay(share * seconds * 1000);
  await Promise.all([
    scene.calmTraffic(),
    at(RUSH[0]).then(() => scene.rush((RUSH[1] - RUSH[0]) * seconds)),
    at(BROKEN_FILE[0]).then(breakPolicies),
    at(BROKEN_FILE[1]).then(mendPolicies),
  ]);
  await scene.close();
}

class Scene {
  readonly #options: SceneOptions;
  readonly #calm: readonly ProbeClient[];
  readonly #hurried: readonly ProbeClient[];
  readonly #random = seededRandom(2);
  readonly #hard: readonly FinishedGroup[];
  readonly #startedAt = performance.now();
  readonly #open = new Set<Promise<void>>();
  #sent = 0;

  constructor(options: SceneOptions) {
    this.#options = options;
    const clients = (deadlineMs: number): ProbeClient[] =>
      options.origins.map((origin) => new ProbeClient(origin, { deadlineMs, connections: RUSHING_CALLERS }));
    this.#calm = clients(CALM_DEADLINE_MS);
    this.#hurried = clients(RUSH_DEADLINE_MS);
    const sorted = options.pool.toSorted((left, right) => meanOf(left.qualities) - meanOf(right.qualities));
    this.#hard = sorted.slice(0, Math.ceil(sorted.length / 3));
  }

  /** Groups one after the other, each asked about at every step as long as samples live. */
  async calmTraffic(): Promise<void> {
    for (let share = this.#share(); share < 1; share = this.#share()) {
      const run = this.#followGroup(this.#one(share < HARDER_FROM ? this.#options.pool : this.#hard), share);
      this.#open.add(run);
      void run.finally(() => this.#open.delete(run));
      await this.#sometimesWrong();
      const perSecond = CALM + SWELL * Math.sin(2 * Math.PI * 1.5 * share);
      await delay((-Math.log(1 - this.#random()) * 1000) / perSecond);
    }
  }

  /** Many callers at once who cannot wait. */
  async rush(seconds: number): Promise<void> {
    const end = performance.now() + seconds * 1000;
    const caller = async (): Promise<void> => {
      while (performance.now() < end) {
        const group = this.#one(this.#options.pool);
        const [step, input] = this.#one([...group.inputs]);
        await this.#ask(this.#one(this.#hurried), group, input, step, STABLE);
      }
    };
    await Promise.all(Array.from({ length: RUSHING_CALLERS }, caller));
  }

  async close(): Promise<void> {
    await Promise.all(this.#open);
    await Promise.all([...this.#calm, ...this.#hurried].map((client) => client.close()));
  }

  async #followGroup(group: FinishedGroup, share: number): Promise<void> {
    const canaryShare = share < CANARY_FROM ? 0 : 0.5 * (share - CANARY_FROM);
    const version = this.#random() < canaryShare ? CANARY : STABLE;
    let living = Array.from({ length: GROUP_SAMPLES }, (_, index) => index);
    const receipts: { receipt: string; quality: number; sample: number }[] = [];
    for (const step of STEPS) {
      const input = group.inputs.get(step);
      if (!input || living.length === 0) continue;
      const answer = await this.#ask(this.#one(this.#calm), group, rowsOf(input, living), step, version);
      const before = living;
      for (const { index, receipt } of answer.results) {
        const sample = before[index];
        if (receipt !== undefined && sample !== undefined)
          receipts.push({ receipt, sample, quality: group.qualities[sample] ?? NaN });
      }
      living = before.filter((_, index) => answer.decisions[index] === 'keep');
    }
    await delay(TO_THE_IMAGE_MS * (0.5 + this.#random()));
    const finished = new Set(living);
    const items = receipts.filter(({ sample }) => finished.has(sample));
    if (items.length > 0 && this.#random() < 0.9) await this.#one(this.#calm).feedback(items);
  }

  #ask(
    client: ProbeClient,
    { caption }: FinishedGroup,
    input: ScoreInput,
    step: number,
    version: number,
  ): Promise<ScoreOutcome> {
    const { manifest } = this.#options;
    this.#sent += 1;
    const [samples = 0] = input.attention.shape;
    return client.score(input, {
      model: `${manifest.name}@${version}`,
      group: caption,
      sampleIds: Array.from({ length: samples }, (_, index) => `${this.#sent} ${index}`),
      step,
      totalSteps: manifest.capture.total_steps,
      captureId: manifest.capture_id,
    });
  }

  /** What goes wrong at callers every now and then. */
  async #sometimesWrong(): Promise<void> {
    const origin = this.#one(this.#options.origins);
    const group = this.#one(this.#options.pool);
    const [step, input] = this.#one([...group.inputs]);
    const dice = this.#random();
    if (dice < 0.02) await this.#one(this.#calm).score({ ...input, timestep: 1 }, {});
    else if (dice < 0.03) await this.#ask(this.#one(this.#calm), group, input, step, CANARY + 1);
    else if (dice < 0.04) await (await fetch(`${origin}/nowhere`)).text();
    else if (dice < 0.05) await this.#one(this.#calm).feedback([{ receipt: 'none', quality: 0.5 }]);
  }

  #one<Value>(values: readonly Value[]): Value {
    const value = values[Math.floor(this.#random() * values.length)];
    if (value === undefined) throw new RangeError('there is nothing to choose from');
    return value;
  }

  #share(): number {
    return (performance.now() - this.#startedAt) / 1000 / this.#options.seconds;
  }
}

/** The same input with these samples alone. */
function rowsOf(input: ScoreInput, rows: readonly number[]): ScoreInput {
  const { dtype, shape, data } = input.attention;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const size = bytes.length / (shape[0] ?? 1);
  const kept = Buffer.concat(rows.map((row) => bytes.subarray(row * size, (row + 1) * size)));
  return { ...input, attention: { dtype, shape: [rows.length, ...shape.slice(1)], data: kept } };
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
