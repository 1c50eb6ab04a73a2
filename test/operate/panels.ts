/** Owns how the committed dashboards are read: each panel with its expressions as Grafana would send them. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { TYPED_IN } from './expectations.js';
import { type Sample, WINDOW } from './prometheus.js';

const FOLDER = path.join('docker', 'grafana', 'dashboards');

export interface Target {
  readonly expr: string;
  readonly legend: string;
}

export interface ReadPanel {
  readonly dashboard: string;
  readonly type: string;
  readonly title: string;
  readonly description: string;
  readonly unit: string | undefined;
  readonly targets: readonly Target[];
}

interface RawPanel {
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly targets?: readonly { expr: string; legendFormat: string }[];
  readonly fieldConfig?: { defaults: { unit?: string } };
  readonly options?: { yAxis?: { unit?: string } };
}

/** Every panel of every dashboard but the headings. */
export function readPanels(): ReadPanel[] {
  return readdirSync(FOLDER).flatMap((file) => {
    const content = JSON.parse(readFileSync(path.join(FOLDER, file), 'utf8')) as { panels: RawPanel[] };
    return content.panels
      .filter(({ type }) => type !== 'row')
      .map(({ type, title, description = '', targets = [], fieldConfig, options }) => ({
        dashboard: path.basename(file, '.json'),
        type,
        title,
        description,
        unit: options?.yAxis?.unit ?? fieldConfig?.defaults.unit,
        targets: targets.map(({ expr, legendFormat }) => ({ expr, legend: legendFormat })),
      }));
  });
}

/** The lengths of what Grafana fills in by itself. */
export interface Windows {
  readonly rate: string;
  readonly range: string;
}

/** The expression with everything chosen, the typed-in values, and windows as long as the test's unless told. */
export function filledIn(expr: string, { rate, range }: Windows = { rate: WINDOW, range: WINDOW }): string {
  const typedIn = Object.entries(TYPED_IN).reduce(
    (text, [name, value]) => text.replaceAll(`$${name}`, String(value)),
    expr,
  );
  return typedIn
    .replaceAll('$__rate_interval', rate)
    .replaceAll('$__range', range)
    .replaceAll(/\$(?:model|version|instance)/g, '.*');
}

/** The legend with the series' own labels in it. */
export function legendOf(legend: string, labels: Sample['labels']): string {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '');
}

/** What a series is called: by the legend, and in a table by its column and its row. */
export function seriesName(panel: ReadPanel, { legend }: Target, { labels }: Sample): string {
  if (panel.type !== 'table') return legendOf(legend, labels);
  const row = Object.entries(labels)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([label, value]) => `${label}=${value}`);
  return [legend, ...row].join(', ');
}
