/** Reads the panels of the committed dashboards, and fills in their expressions and legends as Grafana does. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { type Sample, WINDOW } from './prometheus.js';

const FOLDER = path.join('docker', 'grafana', 'dashboards');

/** Values of the dashboards' text boxes. */
export const TEXT_BOXES = { step_seconds: 0.05, price_per_hour: 2.5 };

/** The distance of two points of a drawn series. */
const SUBQUERY_STEP = '5s';

/** The members of Grafana's JSON that matter here. */
export interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

/** Marks moments in all time series. */
export interface Event {
  readonly name: string;
  readonly titleFormat: string;
  readonly expr: string;
}

export interface Panel {
  readonly id: number;
  readonly type: 'row' | 'stat' | 'bargauge' | 'timeseries' | 'heatmap' | 'table';
  readonly title: string;
  readonly description?: string;
  readonly links?: readonly { readonly title: string; readonly url: string }[];
  /** Missing in rows, which are headings. */
  readonly targets?: readonly Target[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly options?: { readonly yAxis?: { readonly unit?: string } };
}

export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly annotations: { readonly list: readonly Event[] };
  readonly panels: readonly Panel[];
}

/** All dashboards by the names of their files. */
export function readDashboards(): ReadonlyMap<string, Dashboard> {
  return new Map(
    readdirSync(FOLDER).map((file) => [
      path.basename(file, '.json'),
      JSON.parse(readFileSync(path.join(FOLDER, file), 'utf8')) as Dashboard,
    ]),
  );
}

/** Every panel of every dashboard except headings. */
export function readPanels() {
  return [...readDashboards()].flatMap(([dashboard, { panels }]) =>
    panels
      .filter(({ type }) => type !== 'row')
      .map(({ type, title, description = '', targets = [], fieldConfig, options }) => {
        const unit = options?.yAxis?.unit ?? fieldConfig?.defaults.unit;
        return { dashboard, type, title, description, targets, unit };
      }),
  );
}

/** Replaces the variables of an expression: everything is selected, and windows have the given lengths. */
export function fillIn(expr: string, rateInterval = WINDOW, range = WINDOW): string {
  return Object.entries(TEXT_BOXES)
    .reduce((text, [name, value]) => text.replaceAll(`$${name}`, String(value)), expr)
    .replaceAll('$__rate_interval', rateInterval)
    .replaceAll('$__interval', SUBQUERY_STEP)
    .replaceAll('$__range', range)
    .replaceAll(/\$(?:model|version|instance)/g, '.*');
}

/** Replaces the labels in a legend. */
export function fillInLegend(legend: string, { labels }: Pick<Sample, 'labels'>): string {
  return legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '');
}

/** The legend of a series; in a table, the title of its column and the labels of its row. */
export function seriesName({ type }: Pick<Panel, 'type'>, target: Target, sample: Sample): string {
  if (type !== 'table') return fillInLegend(target.legendFormat, sample);
  const row = Object.entries(sample.labels)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([label, value]) => `${label}=${value}`);
  return [target.legendFormat, ...row].join(', ');
}
