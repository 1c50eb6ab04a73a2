/** docs/reference.md: settings, policies, metrics, errors and the evaluation of the shipped probes. */
import { describeSettings } from '../../src/config/settings.js';
import { ERRORS } from '../../src/errors.js';
import { createMetrics } from '../../src/telemetry/metrics.js';
import { markdownTable } from './markdown.js';

const METRIC_PREFIX = 'diffusion_probe_';

/**
 * @param policies a request and its answer under each policy.
 * @param evaluation the tables of the shipped probes.
 */
export async function referencePage(policies: string, evaluation: string): Promise<string> {
  return `# Reference

<!-- Made by \`npm run generate:docs\` from the code, the shipped probes and their reports. Do not edit. -->

[Settings](#settings) · [Policies](#policies) · [Metrics](#metrics) · [Errors](#errors) · [The shipped probes](#the-shipped-probes)

The HTTP contract is in [openapi/openapi.json](../openapi/openapi.json), the form of \`probe.json\` in
[models/probe.schema.json](../models/probe.schema.json).

## Settings

Every setting is an environment variable and a command-line flag. A flag wins over the variable, the variable over the default. The
service reports all mistakes at once and exits with code 2.

${settingsTable()}

## Policies

A request names its policy in its metadata or in the header \`x-policy\`; otherwise the operator's policies file decides, and
\`max_false_drop\` at 0.05 without one. [docs/decisions.md](decisions.md) explains the policies and their guarantees. The same group
under each of them:

${policies}

## Metrics

\`GET /metrics\` also has the usual metrics of a Node process.

${await metricsTable()}

## Errors

Every error is a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) with a \`code\` and, where they apply, the
\`field\`, what was \`received\` and what was \`expected\`.

${errorsTable()}

## The shipped probes

On test captions that were used neither for training nor for calibration; brackets are 95% bootstrap intervals over captions.
\`diffusion-probe evaluate\` writes the whole reports: [pictogram](../models/pictogram/2/report.md),
[pictogram-full](../models/pictogram-full/2/report.md).

${evaluation}

SRCC and AUC are pooled over all captions. They also rise when a method only predicts which captions are hard. Two figures are
computed within each caption: *pairwise accuracy* is the share of pairs in the right order, and *gap closed* is how far the chosen one
of eight samples gets from a random sample to the best.
`;
}

function settingsTable(): string {
  const rows = describeSettings().map(({ name, flag, unit, description, default: preset }) => [
    `\`${name}\``,
    `\`${flag}\``,
    preset === 'unset' ? 'unset' : `\`${preset}\``,
    unit,
    description,
  ]);
  return markdownTable(['variable', 'flag', 'default', 'unit', 'meaning'], rows);
}

async function metricsTable(): Promise<string> {
  const metrics = createMetrics();
  metrics.watchEngine({ queueDepth: () => ({ samples: 0, bytes: 0 }), readiness: () => ({ ready: false }) });
  const rows = (await metrics.registry.getMetricsAsJSON())
    .filter(({ name }) => name.startsWith(METRIC_PREFIX))
    .map(({ name, type, help }) => [`\`${name}\``, type.toString(), help]);
  return markdownTable(['metric', 'type', 'meaning'], rows);
}

function errorsTable(): string {
  const rows = Object.entries(ERRORS).map(([code, { status, title }]) => [`\`${code}\``, `${status}`, title]);
  return markdownTable(['code', 'status', 'meaning'], rows);
}
