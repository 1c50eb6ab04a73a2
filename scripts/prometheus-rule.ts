/** Owns how the rule files become the resource that the Prometheus operator reads. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { parse, stringify } from 'yaml';

const RULES = path.join('docker', 'prometheus', 'rules');

/** The text of docker/kubernetes/base/prometheus-rule.yml. */
export function prometheusRule(): string {
  const groups = readdirSync(RULES)
    .toSorted()
    .flatMap((file) => (parse(readFileSync(path.join(RULES, file), 'utf8')) as { groups: unknown[] }).groups);
  const resource = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'diffusion-probe' },
    spec: { groups },
  };
  return `# Made from docker/prometheus/rules by \`npm run prometheus-rule\`.\n${stringify(resource)}`;
}
