/** All generated files of the repository. `npm run generate:docs` writes them, and a test fails when one of them is stale. */
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

import wabt from 'wabt';
import { parse, stringify } from 'yaml';

import { manifestJsonSchema } from '../src/probe/manifest.js';
import { dashboardFiles } from './dashboards/dashboards.js';
import { answerTexts } from './docs/answers.js';
import { clientCasesPage } from './docs/client-cases.js';
import { evaluationTables } from './docs/evaluation.js';
import { falseDropTables } from './docs/false-drop.js';
import { replaceParts } from './docs/markdown.js';
import { referencePage } from './docs/reference.js';
import { scalingParts } from './docs/scaling.js';
import { openApiText } from './docs/service.js';

const RULES = 'docker/prometheus/rules';
const KERNEL = 'src/engine/worker/attention-kernel';
const DASHBOARDS = 'docker/grafana/dashboards';

/** The text that each generated file should have, by its path. */
export async function generatedFiles(): Promise<Readonly<Record<string, string>>> {
  const { decisions, answer, policies } = await answerTexts();
  const { full, short } = await evaluationTables();
  const page = async (file: string, parts: Readonly<Record<string, string>>): Promise<string> =>
    replaceParts(await readFile(file, 'utf8'), parts);
  const dashboards = Object.entries(await dashboardFiles());
  return {
    'README.md': await page('README.md', { decisions, answer, evaluation: short }),
    'docs/reference.md': await referencePage(policies, full),
    'docs/decisions.md': await page('docs/decisions.md', { 'false-drop': await falseDropTables() }),
    'docs/client-cases.md': await clientCasesPage(),
    'docs/scaling.md': await page('docs/scaling.md', await scalingParts()),
    'openapi/openapi.json': await openApiText(),
    'models/probe.schema.json': `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`,
    'docker/kubernetes/components/prometheus-operator/prometheus-rule.yml': await prometheusRule(),
    [`${KERNEL}.ts`]: await attentionKernel(),
    ...Object.fromEntries(dashboards.map(([name, text]) => [`${DASHBOARDS}/${name}`, text])),
  };
}

/** The alert and recording rules as the resource that the Prometheus operator reads. */
async function prometheusRule(): Promise<string> {
  const files = (await readdir(RULES)).toSorted();
  const texts = await Promise.all(files.map((file) => readFile(path.join(RULES, file), 'utf8')));
  const resource = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'diffusion-probe' },
    spec: { groups: texts.flatMap((text) => (parse(text) as { groups: unknown[] }).groups) },
  };
  return `# Made from ${RULES} by \`npm run generate:docs\`.\n${stringify(resource)}`;
}

/** The WebAssembly kernel as a module, so that the service needs no assembler. */
async function attentionKernel(): Promise<string> {
  const assembler = await wabt();
  const kernel = assembler.parseWat(`${KERNEL}.wat`, await readFile(`${KERNEL}.wat`, 'utf8'), { simd: true });
  const code = Buffer.from(kernel.toBinary({}).buffer).toString('base64');
  kernel.destroy();
  return [
    '/** The binary form of attention-kernel.wat, as base64. Made by `npm run generate:docs`. */',
    'export const ATTENTION_KERNEL = [',
    ...(code.match(/.{1,100}/g) ?? []).map((line) => `  '${line}',`),
    "].join('');",
    '',
  ].join('\n');
}
