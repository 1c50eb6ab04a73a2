/** Writes complete probes to disk for tests. They are valid by default; the options break one thing each. */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { fingerprintOf } from '../../src/probe/fingerprint.js';
import type { Manifest } from '../../src/probe/manifest.js';
import { type Hang, tinyInputs, tinyOnnx } from './onnx.js';
import { type MapSize, type TestSample, expectedScore, randomSamples, scoreBody } from './samples.js';

export const TINY_SIZE: MapSize = { layers: 2, height: 4, width: 4 };
export const TINY_TOKENS = 3;
export const TINY_STEP = 5;
export const TINY_TIMESTEP = 778.7;

/** How the images of the tiny probe are said to be drawn. */
export const TINY_CONDITIONS = {
  scheduler: { class: 'Euler', shift: 0.67 },
  timesteps: [1000, 778.7],
  call: { guidance_scale: 3, height: 64, width: 64 },
  guidance: { classifier_free: 3, embedded: null },
  dtype: 'float32',
};

const QUANTILES = 201;

export interface ProbeFolderOptions {
  readonly name?: string;
  readonly version?: number;
  readonly size?: MapSize;
  /** What the graph adds to every score, so that versions give different scores. */
  readonly bias?: number;
  /** Makes each run slow, as in onnx.ts. */
  readonly work?: number;
  /** Makes runs with a late timestep hang, as in onnx.ts. */
  readonly hang?: Hang;
  /** What the graph takes attention as; F16 by default. */
  readonly attentionDtype?: 'F16' | 'F32';
  /** Further inputs; `selftest` must then be set too. */
  readonly extraInputs?: Manifest['inputs'];
  /** A graph that need not match the manifest; its hash is right. */
  readonly model?: Uint8Array;
  /** Another selftest body; its hash is right. */
  readonly selftest?: Uint8Array;
  /** Edits the manifest last, after the hashes are set. */
  readonly edit?: (manifest: Manifest) => void;
}

export interface ProbeFolder {
  readonly folder: string;
  readonly manifest: Manifest;
}

/** Writes the folder <name>/<version>/ with all files. */
export async function writeProbe(modelsDir: string, options: ProbeFolderOptions = {}): Promise<ProbeFolder> {
  const { name = 'tiny', version = 1, size = TINY_SIZE, bias = 0, work = 0, extraInputs = [] } = options;
  const inputs = [
    ...tinyInputs(size.layers, size.height, size.width, options.attentionDtype),
    ...extraInputs,
  ];
  const samples = randomSamples(size, TINY_TOKENS, 2, version);
  const hang = options.hang ? { hang: options.hang } : {};
  const files = {
    'model.onnx': options.model ?? tinyOnnx({ inputs, bias, work, ...hang }),
    'selftest.safetensors': options.selftest ?? scoreBody(samples),
  };
  const manifest = tinyManifest(name, version, size, inputs, samples, bias);
  for (const [file, bytes] of Object.entries(files)) manifest.files[file] = sha256(bytes);
  options.edit?.(manifest);

  const folder = path.join(modelsDir, name, String(version));
  await mkdir(folder, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) await writeFile(path.join(folder, file), bytes);
  await writeFile(path.join(folder, 'probe.json'), JSON.stringify(manifest, null, 2));
  return { folder, manifest };
}

/** A valid manifest without file hashes. */
export function tinyManifest(
  name: string,
  version: number,
  size: MapSize,
  inputs: Manifest['inputs'],
  samples: readonly TestSample[],
  bias = 0,
): Manifest {
  const capture = {
    family: 'tiny',
    layers: Array.from({ length: size.layers }, (_, layer) => `down.${layer}.cross`),
    height: size.height,
    width: size.width,
    heads: 'mean',
    tokens: 'text without begin and padding',
    pooling: 'area',
    forward: 'conditional',
    precision: 'float32',
  };
  const conditions = structuredClone(TINY_CONDITIONS);
  return {
    schema_version: 2,
    name,
    version,
    backbone: 'tiny',
    capture,
    capture_id: fingerprintOf(capture),
    conditions,
    conditions_id: fingerprintOf(conditions),
    total_steps: 25,
    metric: { name: 'tiny-reward', range: [0, 2], good_at: 1 },
    inputs,
    output: { name: 'score', dtype: 'F32', shape: ['batch'] },
    decision_points: [{ step: TINY_STEP, timestep: TINY_TIMESTEP, tolerance: 1 }],
    calibration: [tinyCalibration()],
    trajectories: null,
    plans: [],
    evaluation: {},
    selftest: {
      input: 'selftest.safetensors',
      scores: samples.map((sample) => expectedScore(sample, bias)),
      tolerance: 0.001,
    },
    files: {},
  };
}

/** The same manifest in schema_version 1, whose capture held some of the conditions. */
export function asSchema1(manifest: Manifest): Record<string, unknown> {
  const {
    conditions: _conditions,
    conditions_id: _id,
    total_steps,
    trajectories: _file,
    plans: _plans,
    ...rest
  } = manifest;
  const { family: _family, forward: _forward, precision: _precision, ...members } = rest.capture;
  const capture = { ...members, scheduler: 'euler', total_steps, guidance: 3, resolution: [64, 64] };
  const calibration = rest.calibration.map(({ false_drop: _curve, ...point }) => point);
  return { ...rest, schema_version: 1, capture, capture_id: fingerprintOf(capture), calibration };
}

/** Scores spread evenly from 0.8 to 1.3, good from 1 on. */
function tinyCalibration(): Manifest['calibration'][number] {
  const scores = Array.from({ length: QUANTILES }, (_, index) => 0.8 + (0.5 * index) / (QUANTILES - 1));
  return {
    step: TINY_STEP,
    captions: 100,
    samples: 800,
    false_drop: null,
    scores,
    good_scores: scores.filter((score) => score >= 0.9),
    p_good: { score: [0.8, 1, 1.3], probability: [0.1, 0.6, 0.9] },
  };
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
