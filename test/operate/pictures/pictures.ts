/**
 * Owns the pictures of the dashboards in docs/dashboards: two real replicas, a real Prometheus on the shipped rules, a scene
 * with everything that can be seen, and then every panel's own queries. `npm run docs:dashboards`
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';

import { TYPED_IN } from '../expectations.js';
import { startPrometheus, until } from '../prometheus.js';
import { startReplicas } from '../service.js';
import { askDashboard, isAlive } from './asked.js';
import { drawPool } from './pool.js';
import { play } from './scene.js';

const SOURCE = path.join('docker', 'grafana', 'dashboards');
const TARGET = path.join('docs', 'dashboards');
const DRAW = path.join('test', 'operate', 'pictures', 'draw.py');
const GROUPS = 32;
const SCENE_SECONDS = 420;
const STEP_SECONDS = 2;
const WINDOWS = { rate: '20s', range: `${SCENE_SECONDS}s` };

test('the dashboards as pictures', async (t) => {
  const replicas = await startReplicas(t, 2);
  const { manifest } = replicas;
  const targets = replicas.origins.map((origin, index) => [`probe-${index + 1}:8080`, new URL(origin).host]);
  const pool = await drawPool(GROUPS, manifest, (drawn) => tell(`${drawn} of ${GROUPS} groups drawn`));
  const prometheus = await startPrometheus(t, Object.fromEntries(targets));
  // Without a scrape before the traffic there is nothing to increase from.
  await until('every replica is scraped', async () => {
    return (await prometheus.query('diffusion_probe_ready == 1')).length === replicas.origins.length;
  });
  tell(`playing for ${SCENE_SECONDS} s`);
  await play({ ...replicas, pool, seconds: SCENE_SECONDS });

  const to = Math.floor(Date.now() / 1000);
  const range = { from: to - SCENE_SECONDS, to, step: STEP_SECONDS };
  const folder = await mkdtemp(path.join(tmpdir(), 'pictures-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const name of ['service', 'decisions', 'models']) {
    const asked = await askDashboard(path.join(SOURCE, `${name}.json`), prometheus, range, WINDOWS, TYPED_IN);
    const dead = asked.panels.filter((panel) => !isAlive(panel)).map(({ title }) => title);
    assert.deepEqual(dead, [], 'these panels show nothing');
    const file = path.join(folder, `${name}.json`);
    await writeFile(file, JSON.stringify(asked));
    draw(file, path.join(TARGET, `${name}.png`));
  }
});

function draw(data: string, picture: string): void {
  const { error, status, stderr } = spawnSync('python3', [DRAW, data, picture], { encoding: 'utf8' });
  assert.ok(!error && status === 0, `${picture} could not be drawn: pip install matplotlib\n${stderr}`);
  tell(picture);
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
