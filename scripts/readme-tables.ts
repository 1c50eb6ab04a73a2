/** Owns the parts of README.md that are made: settings, metrics, errors, answers and the probe's figures, each between two markers. */
import { ERRORS } from '../src/errors.js';
import { describeSettings } from '../src/config/settings.js';
import { createMetrics } from '../src/telemetry/metrics.js';
import { evaluationTables } from './evaluation-table.js';
import { markdownTable } from './markdown-table.js';
import { withMarked } from './marked-text.js';
import { policyExamples } from './policy-examples.js';

const METRIC_PREFIX = 'diffusion_probe_';
const REPORT = 'models/pictogram/1/report.json';
const FULLER_REPORT = 'models/pictogram-full/1/report.json';

/** The text with every part between `<!-- name -->` and `<!-- /name -->` made anew. */
export async function withTables(readme: string): Promise<string> {
  const parts = {
    settings: settingsTable(),
    policies: await policyExamples(),
    evaluation: await evaluationTables(REPORT, FULLER_REPORT),
    metrics: await metricsTable(),
    errors: errorsTable(),
  };
  return Object.entries(parts).reduce((text, [name, part]) => withMarked(text, name, part), readme);
}

function settingsTable(): string {
  const rows = describeSettings().map(({ name, flag, description, unit, default: preset }) => [
    `\`${name}\``,
    `\`${flag}\``,
    preset === 'unset' ? 'unset' : `\`${preset}\``,
    unit,
    description,
  ]);
  return markdownTable(['setting', 'flag', 'default', 'unit', 'meaning'], rows);
}

async function metricsTable(): Promise<string> {
  const metrics = createMetrics();
  metrics.watchEngine({ queueDepth: () => ({ samples: 0, bytes: 0 }), readiness: () => ({ ready: false }) });
  const own = (await metrics.registry.getMetricsAsJSON()).filter(({ name }) =>
    name.startsWith(METRIC_PREFIX),
  );
  const rows = own.map(({ name, type, help }) => [`\`${name}\``, type.toString(), help]);
  return markdownTable(['metric', 'type', 'meaning'], rows);
}

function errorsTable(): string {
  const rows = Object.entries(ERRORS).map(([code, { status, title }]) => [
    `\`${code}\``,
    String(status),
    title,
  ]);
  return markdownTable(['code', 'status', 'meaning'], rows);
}
