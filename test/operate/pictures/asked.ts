/** Owns what a dashboard shows over a time range: each panel's own queries, asked as Grafana would ask them. */
import { readFileSync } from 'node:fs';

import { filledIn, legendOf, type Windows } from '../panels.js';
import type { Prometheus, Series, TimeRange } from '../prometheus.js';

/** Grafana's own words, as far as they matter here. */
interface Dashboard {
  readonly title: string;
  readonly panels: readonly RawPanel[];
  readonly templating: { readonly list: readonly Variable[] };
}

interface Variable {
  readonly name: string;
  readonly label: string;
  readonly type: string;
}

interface RawPanel {
  readonly type: 'row' | 'stat' | 'bargauge' | 'timeseries' | 'heatmap' | 'table';
  readonly title: string;
  readonly gridPos: object;
  readonly targets?: readonly {
    readonly refId: string;
    readonly expr: string;
    readonly legendFormat: string;
  }[];
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly thresholds?: { readonly steps: readonly { readonly value: number | null }[] };
    };
    readonly overrides: readonly {
      readonly matcher: { readonly id: string; readonly options: string };
      readonly properties: readonly {
        readonly id: string;
        readonly value: string | { fixedColor: string };
      }[];
    }[];
  };
  readonly options?: { readonly yAxis?: { readonly unit?: string } };
}

interface Column {
  readonly name: string;
  readonly unit: string;
}

/** A panel with what it shows, for draw.py. */
export interface AskedPanel extends Pick<RawPanel, 'type' | 'title' | 'gridPos'> {
  readonly unit?: string | undefined;
  /** Of a graph or a heat map; what is not finite is null. */
  readonly series?: readonly { name: string; points: readonly (readonly [number, number | null])[] }[];
  /** Of a stat, and of bars. */
  readonly values?: readonly { name: string; value: number }[];
  /** Colours of series by their name. */
  readonly colours?: Readonly<Record<string, string>>;
  readonly threshold?: number | undefined;
  readonly columns?: readonly Column[];
  readonly rows?: readonly (readonly (string | number | null)[])[];
}

export interface AskedDashboard {
  readonly title: string;
  readonly from: number;
  readonly to: number;
  /** Label and choice of each variable. */
  readonly variables: readonly (readonly [string, string])[];
  readonly panels: readonly AskedPanel[];
}

/** Asks everything that the dashboard in this file asks. @param typedIn what the viewer has typed in, by variable. */
export async function askDashboard(
  file: string,
  prometheus: Prometheus,
  range: TimeRange,
  windows: Windows,
  typedIn: Readonly<Record<string, number>>,
): Promise<AskedDashboard> {
  const { title, panels, templating } = JSON.parse(readFileSync(file, 'utf8')) as Dashboard;
  const asked: AskedPanel[] = [];
  for (const panel of panels) asked.push(await askPanel(panel, prometheus, range, windows));
  return {
    title,
    from: range.from,
    to: range.to,
    variables: templating.list
      .filter(({ type }) => type !== 'datasource')
      .map(({ name, label }) => [label, String(typedIn[name] ?? 'All')]),
    panels: asked,
  };
}

async function askPanel(
  panel: RawPanel,
  prometheus: Prometheus,
  range: TimeRange,
  windows: Windows,
): Promise<AskedPanel> {
  const { type, title, gridPos, targets = [], fieldConfig, options } = panel;
  const shown = {
    type,
    title,
    gridPos,
    unit: options?.yAxis?.unit ?? fieldConfig?.defaults.unit,
    threshold:
      fieldConfig?.defaults.thresholds?.steps.findLast(({ value }) => value !== null)?.value ?? undefined,
    colours: coloursOf(panel),
  };
  if (type === 'row') return shown;
  if (type === 'table') return { ...shown, ...(await askTable(panel, prometheus, range, windows)) };
  if (type === 'stat' || type === 'bargauge') {
    const values = [];
    for (const { expr, legendFormat } of targets) {
      const samples = await prometheus.query(filledIn(expr, windows), range.to);
      values.push(...samples.map(({ labels, value }) => ({ name: legendOf(legendFormat, labels), value })));
    }
    return { ...shown, values };
  }
  const series = [];
  for (const { expr, legendFormat } of targets) {
    const found = await prometheus.queryRange(filledIn(expr, windows), range);
    series.push(...found.map((one) => ({ name: legendOf(legendFormat, one.labels), points: finite(one) })));
  }
  return { ...shown, series };
}

/** Rows are joined by their labels, as the panel's transformations do it. */
async function askTable(
  { targets = [], fieldConfig }: RawPanel,
  prometheus: Prometheus,
  range: TimeRange,
  windows: Windows,
): Promise<Pick<AskedPanel, 'columns' | 'rows'>> {
  const names = new Set<string>();
  const rows = new Map<string, { labels: Readonly<Record<string, string>>; values: (number | null)[] }>();
  for (const [index, { expr }] of targets.entries()) {
    for (const { labels, value } of await prometheus.query(filledIn(expr, windows), range.to)) {
      const key = JSON.stringify(
        Object.entries(labels).toSorted(([left], [right]) => (left < right ? -1 : 1)),
      );
      const row = rows.get(key) ?? { labels, values: targets.map(() => null) };
      row.values[index] = Number.isFinite(value) ? value : null;
      rows.set(key, row);
      for (const name of Object.keys(labels)) names.add(name);
    }
  }
  const overrides = fieldConfig?.overrides ?? [];
  const columns = targets.map(({ refId }): Column => {
    const own = targets.length === 1 ? 'Value' : `Value #${refId}`;
    const properties = overrides.find(({ matcher }) => matcher.options === own)?.properties ?? [];
    const property = (id: string): string => {
      const value = properties.find((one) => one.id === id)?.value;
      return typeof value === 'string' ? value : own;
    };
    return { name: property('displayName'), unit: property('unit') };
  });
  const labelNames = [...names].toSorted();
  return {
    columns: [...labelNames.map((name) => ({ name, unit: 'string' })), ...columns],
    rows: [...rows.values()].map(({ labels, values }) => [
      ...labelNames.map((name) => labels[name] ?? ''),
      ...values,
    ]),
  };
}

function coloursOf({ fieldConfig }: RawPanel): Record<string, string> {
  const colours = (fieldConfig?.overrides ?? []).flatMap(({ matcher, properties }) =>
    properties.flatMap(({ value }) =>
      typeof value === 'object' ? [[matcher.options, value.fixedColor]] : [],
    ),
  );
  return Object.fromEntries(colours) as Record<string, string>;
}

function finite({ points }: Series): (readonly [number, number | null])[] {
  return points.map(([at, value]) => [at, Number.isFinite(value) ? value : null]);
}

/** Whether a panel shows anything at all. */
export function isAlive({ type, series = [], values = [], rows = [] }: AskedPanel): boolean {
  if (type === 'row') return true;
  if (type === 'stat' || type === 'bargauge') return values.some(({ value }) => Number.isFinite(value));
  if (type === 'table') return rows.some((row) => row.some((cell) => typeof cell === 'number'));
  return series.some(({ points }) => points.some(([, height]) => height !== null));
}
