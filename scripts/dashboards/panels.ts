/** Makes Grafana's JSON of panels, and lays them out on Grafana's grid of 24 columns. */

import * as z from 'zod';

const GRID_COLUMNS = 24;

/** The data source that the viewer has chosen. */
export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

const panelSchema = z.strictObject({
  title: z.string(),
  /** What a newcomer needs to read the panel. */
  description: z.string(),
  /** A unit of Grafana: https://grafana.com/docs/grafana/latest/panels-visualizations/configure-standard-options */
  unit: z.string(),
  /**
   * `stat`: one current number. `bars`: several current numbers. `lines`: series over time. `heatmap`: a histogram over time;
   * the unit is that of its buckets. `table`: current numbers, a row per set of labels and a column per query.
   */
  kind: z.enum(['stat', 'bars', 'lines', 'heatmap', 'table']),
  /** Width and height in units of the grid. */
  size: z.tuple([z.int(), z.int()]),
  /** PromQL by legend: the name of a series, with labels in double braces, or of a column. */
  queries: z.record(z.string(), z.string()),
  /** The units of a table's columns by legend, when they differ from the panel's. */
  columnUnits: z.record(z.string(), z.string()).default({}),
  /** Fixed colours of series by name. */
  colours: z.record(z.string(), z.string()).default({}),
  /** A dashed line; values above it, or below it, are bad. */
  threshold: z
    .union([z.strictObject({ above: z.number() }), z.strictObject({ below: z.number() })])
    .optional(),
  /** The text instead of "No data". */
  empty: z.string().optional(),
});

/** A heading with the panels below it. */
export const sectionSchema = z.strictObject({ title: z.string(), panels: z.array(panelSchema) });

type Panel = z.output<typeof panelSchema>;

/**
 * The panels of all sections, laid out from left to right and top to bottom.
 * @param expand makes PromQL of a query.
 */
export function layOut(
  sections: readonly z.output<typeof sectionSchema>[],
  expand: (query: string) => string,
): object[] {
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
      const [w, h] = panel.size;
      if (x + w > GRID_COLUMNS) {
        y += tallest;
        x = 0;
        tallest = 0;
      }
      panels.push({ id: panels.length + 1, ...toGrafana(panel, expand), gridPos: { x, y, w, h } });
      x += w;
      tallest = Math.max(tallest, h);
    }
    y += tallest;
  }
  return panels;
}

function toGrafana(panel: Panel, expand: (query: string) => string): object {
  const { title, description, unit, kind, queries, threshold, empty } = panel;
  return {
    type: { stat: 'stat', bars: 'bargauge', lines: 'timeseries', heatmap: 'heatmap', table: 'table' }[kind],
    title,
    description,
    datasource: DATASOURCE,
    targets: Object.entries(queries).map(([legend, query], index) =>
      targetOf(legend, expand(query), kind, index),
    ),
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

function targetOf(legend: string, expr: string, kind: Panel['kind'], index: number): object {
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

function fixedColours({ colours }: Panel): object[] {
  return Object.entries(colours).map(([name, fixedColor]) => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: 'fixed', fixedColor } }],
  }));
}

/** Names the columns by legend: Grafana's own names are the queries' ids. */
function columnNames({ queries, unit, columnUnits }: Panel): object[] {
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
