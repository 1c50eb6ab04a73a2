/** Makes Grafana's JSON of panels, and lays them out on Grafana's grid of 24 columns. */

const GRID_COLUMNS = 24;

/** The data source that the viewer has chosen. */
export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** Filters series that a replica exposes for one version of a probe. */
export const BY_PROBE = 'model=~"$model",version=~"$version",instance=~"$instance"';
/** Filters series that a replica exposes for itself. */
export const BY_REPLICA = 'instance=~"$instance"';
/** Filters series that recording rules compute over all replicas. */
export const BY_VERSION = 'model=~"$model",version=~"$version"';

export interface DashboardSource {
  readonly title: string;
  readonly sections: readonly Section[];
  /** Numbers that the viewer can type in, as variables of the queries. */
  readonly inputs?: readonly { readonly name: string; readonly label: string; readonly value: string }[];
}

/** A heading with the panels below it. */
export interface Section {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export interface Panel {
  readonly title: string;
  /** What a newcomer needs to read the panel. */
  readonly description: string;
  /** A unit of Grafana: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options */
  readonly unit: string;
  /**
   * `stat`: one current number. `bars`: several current numbers. `lines`: series over time. `heatmap`: a histogram over time;
   * the unit is that of its buckets. `table`: current numbers, a row per set of labels and a column per query.
   */
  readonly kind: 'stat' | 'bars' | 'lines' | 'heatmap' | 'table';
  /** PromQL by legend: the name of a series, with labels in double braces, or of a column. */
  readonly queries: Readonly<Record<string, string>>;
  /** In columns of the grid. */
  readonly width: number;
  readonly height: number;
  /** The units of a table's columns by legend, when they differ from the panel's. */
  readonly columnUnits?: Readonly<Record<string, string>>;
  /** Fixed colours of series by name. */
  readonly colours?: Readonly<Record<string, string>>;
  /** A dashed line; values above it, or below it, are bad. */
  readonly threshold?: { readonly above: number } | { readonly below: number };
  /** The text instead of "No data". */
  readonly empty?: string;
}

type Shape = Pick<Panel, 'kind' | 'width' | 'height'>;
const shapeOf =
  (kind: Panel['kind']) =>
  (width: number, height: number): Shape => ({ kind, width, height });
export const [stat, bars, lines, heatmap, table] = [
  shapeOf('stat'),
  shapeOf('bars'),
  shapeOf('lines'),
  shapeOf('heatmap'),
  shapeOf('table'),
];

/** The panels of all sections, laid out from left to right and top to bottom. */
export function layOut(sections: readonly Section[]): object[] {
  const panels: object[] = [];
  let y = 0;
  for (const section of sections) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title: section.title,
      collapsed: false,
      gridPos: { x: 0, y, w: GRID_COLUMNS, h: 1 },
      panels: [],
    });
    y += 1;
    let x = 0;
    let tallest = 0;
    for (const panel of section.panels) {
      if (x + panel.width > GRID_COLUMNS) {
        y += tallest;
        x = 0;
        tallest = 0;
      }
      const gridPos = { x, y, w: panel.width, h: panel.height };
      panels.push({ id: panels.length + 1, ...toGrafana(panel), gridPos });
      x += panel.width;
      tallest = Math.max(tallest, panel.height);
    }
    y += tallest;
  }
  return panels;
}

function toGrafana(panel: Panel): object {
  const { title, description, unit, kind, threshold, empty } = panel;
  return {
    type: { stat: 'stat', bars: 'bargauge', lines: 'timeseries', heatmap: 'heatmap', table: 'table' }[kind],
    title,
    description,
    datasource: DATASOURCE,
    targets: Object.entries(panel.queries).map((query, index) => target(query, kind, index)),
    fieldConfig: {
      // The cells of a heat map are counts; the unit of its buckets is that of its axis.
      defaults: {
        unit: kind === 'heatmap' ? 'short' : unit,
        ...(empty !== undefined && { noValue: empty }),
        ...(threshold && { thresholds: stepsOf(threshold) }),
        custom: { ...customOf(kind), ...(threshold && { thresholdsStyle: { mode: 'dashed' } }) },
      },
      overrides: kind === 'table' ? columnNames(panel) : fixedColours(panel),
    },
    options: optionsOf(kind, unit),
    ...(kind === 'table' && { transformations: tableTransformations() }),
  };
}

function target([legend, expr]: [string, string], kind: Panel['kind'], index: number): object {
  const isNow = kind === 'stat' || kind === 'bars' || kind === 'table';
  return {
    refId: refId(index),
    datasource: DATASOURCE,
    expr,
    legendFormat: kind === 'heatmap' ? '{{le}}' : legend,
    format: kind === 'heatmap' || kind === 'table' ? kind : 'time_series',
    instant: isNow,
    range: !isNow,
  };
}

function customOf(kind: Panel['kind']): object {
  return kind === 'lines' ? { fillOpacity: 8, lineWidth: 1, showPoints: 'never' } : {};
}

function optionsOf(kind: Panel['kind'], unit: string): object {
  switch (kind) {
    case 'stat':
      return { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'none', graphMode: 'none' };
    case 'bars':
      return {
        reduceOptions: { calcs: ['lastNotNull'] },
        orientation: 'vertical',
        displayMode: 'basic',
        valueMode: 'text',
      };
    case 'lines':
      return {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'desc' },
      };
    case 'heatmap':
      return { calculate: false, yAxis: { unit }, cellGap: 0, color: { mode: 'scheme', scheme: 'Viridis' } };
    case 'table':
      return { showHeader: true };
  }
}

/** Joins the rows of the queries by their labels, and hides the time. */
function tableTransformations(): object[] {
  return [
    { id: 'merge', options: {} },
    { id: 'organize', options: { excludeByName: { Time: true } } },
  ];
}

/** Green on the good side of the threshold, red on the other. */
function stepsOf(threshold: NonNullable<Panel['threshold']>): object {
  const [below, above, value] =
    'above' in threshold ? ['green', 'red', threshold.above] : ['red', 'green', threshold.below];
  return {
    mode: 'absolute',
    steps: [
      { color: below, value: null },
      { color: above, value },
    ],
  };
}

function fixedColours({ colours = {} }: Panel): object[] {
  return Object.entries(colours).map(([name, fixedColor]) => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: 'fixed', fixedColor } }],
  }));
}

/** Names the columns by legend: Grafana's own names are the queries' ids. */
function columnNames({ queries, unit, columnUnits = {} }: Panel): object[] {
  const legends = Object.keys(queries);
  return legends.map((legend, index) => ({
    matcher: { id: 'byName', options: legends.length === 1 ? 'Value' : `Value #${refId(index)}` },
    properties: [
      { id: 'displayName', value: legend },
      { id: 'unit', value: columnUnits[legend] ?? unit },
    ],
  }));
}

function refId(index: number): string {
  return String.fromCodePoint('A'.codePointAt(0)! + index);
}
