/** Owns how a panel becomes Grafana's JSON: its kind, its queries, and its place on a grid of 24 columns. */

const GRID_COLUMNS = 24;

/** What all dashboards ask: the data source that the viewer has chosen. */
const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

export interface Query {
  readonly expr: string;
  /** How a series is called; labels in double braces. */
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  /** What a newcomer should know to read it. */
  readonly description: string;
  /** A unit of Grafana: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options */
  readonly unit: string;
  /**
   * `stat`: one number now. `bars`: some numbers now. `lines`: over time. `heatmap`: a histogram over time, the unit that of
   * its buckets. `table`: one row per set of labels, one column per query, the columns called by the queries' legends.
   */
  readonly kind: 'stat' | 'bars' | 'lines' | 'heatmap' | 'table';
  readonly queries: readonly Query[];
  /** Columns of 24. */
  readonly width: number;
  readonly height: number;
  /** The unit of a table's columns by legend, where it is not the panel's. */
  readonly columnUnits?: Readonly<Record<string, string>>;
  /** Colours of series by their name, where it matters which is which. */
  readonly colours?: Readonly<Record<string, string>>;
  /** A dashed line where it becomes serious: above it, or below. */
  readonly threshold?: { readonly above: number } | { readonly below: number };
  /** What stands there instead of "No data" while there is nothing to show. */
  readonly empty?: string;
}

/** A heading with the panels below it. */
export interface Section {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** The sections' panels, laid out from left to right and top to bottom. */
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
    targets: panel.queries.map((query, index) => target(query, kind, index)),
    fieldConfig: {
      // A heat map counts in its cells; its unit is that of the buckets, see below.
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

function target({ expr, legend }: Query, kind: Panel['kind'], index: number): object {
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

/** The queries' rows are joined by their labels; times are of no use in a table of what is now. */
function tableTransformations(): object[] {
  return [
    { id: 'merge', options: {} },
    { id: 'organize', options: { excludeByName: { Time: true } } },
  ];
}

/** Green where all is well, red beyond. */
function stepsOf(threshold: NonNullable<Panel['threshold']>): object {
  const [well, beyond, value] =
    'above' in threshold ? ['green', 'red', threshold.above] : ['red', 'green', threshold.below];
  return {
    mode: 'absolute',
    steps: [
      { color: well, value: null },
      { color: beyond, value },
    ],
  };
}

function fixedColours({ colours = {} }: Panel): object[] {
  return Object.entries(colours).map(([name, fixedColor]) => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: 'fixed', fixedColor } }],
  }));
}

/** Grafana calls the columns after its own ids of the queries. */
function columnNames({ queries, unit, columnUnits = {} }: Panel): object[] {
  return queries.map(({ legend }, index) => ({
    matcher: { id: 'byName', options: queries.length === 1 ? 'Value' : `Value #${refId(index)}` },
    properties: [
      { id: 'displayName', value: legend },
      { id: 'unit', value: columnUnits[legend] ?? unit },
    ],
  }));
}

function refId(index: number): string {
  return String.fromCodePoint('A'.codePointAt(0)! + index);
}
