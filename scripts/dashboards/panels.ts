/** Makes Grafana's JSON of panels, and lays them out on Grafana's grid of 24 columns. */
import { crc32 } from 'node:zlib';

import * as z from 'zod';

const GRID_COLUMNS = 24;
/** More lines in one panel cannot be told apart. */
const MAX_SERIES = 8;
/** Labels with so few values that a query by one of them stays within MAX_SERIES. */
const SMALL_LABELS = new Set(['outcome', 'decision', 'reason', 'value']);
const PANEL_IDS = 1_000_000;

/** The data source that the viewer has chosen. */
export const DATASOURCE = { type: 'prometheus', uid: '${datasource}' };

/** Values from `above` on, or below `below`, are bad; those from `warn` to there need attention. */
const thresholdSchema = z.union([
  z.strictObject({ above: z.number(), warn: z.number().optional() }),
  z.strictObject({ below: z.number(), warn: z.number().optional() }),
]);

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
  /** The columns of a table by legend, where they differ from the panel. */
  columns: z
    .record(
      z.string(),
      z.strictObject({
        unit: z.string().optional(),
        threshold: thresholdSchema.optional(),
        /** Shown instead of the values 0, 1, 2 and so on. */
        texts: z.array(z.string()).default([]),
      }),
    )
    .default({}),
  /** The columns by which a table is sorted, largest first. */
  sortBy: z.array(z.string()).default([]),
  /** Fixed colours of series by name. */
  colours: z.record(z.string(), z.string()).default({}),
  threshold: thresholdSchema.optional(),
  /** Which lines are shown where there are more than MAX_SERIES: those with the highest or with the lowest values. */
  show: z.enum(['highest', 'lowest']).default('highest'),
  /** The alerts about these numbers. The panel links to their runbooks. */
  alerts: z.array(z.string()).default([]),
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
      id: idOf(`row ${section.title}`),
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
      panels.push({ id: idOf(panel.title), ...toGrafana(panel, expand), gridPos: { x, y, w, h } });
      x += w;
      tallest = Math.max(tallest, h);
    }
    y += tallest;
  }
  return panels;
}

/** Depends on the title alone, so that links to a panel stay valid when others are added. */
function idOf(title: string): number {
  return 1 + (crc32(title) % PANEL_IDS);
}

function toGrafana(panel: Panel, expand: (query: string) => string): object {
  const { title, description, unit, kind, queries, threshold, empty, alerts } = panel;
  return {
    type: { stat: 'stat', bars: 'bargauge', lines: 'timeseries', heatmap: 'heatmap', table: 'table' }[kind],
    title,
    description,
    datasource: DATASOURCE,
    ...(alerts.length > 0 && { links: alerts.map(runbookLink) }),
    targets: Object.entries(queries).map(([legend, query], index) =>
      targetOf(legend, limited(panel, legend, expand(query)), kind, index),
    ),
    fieldConfig: {
      // The cells of a heat map are counts; the unit of its buckets is that of its axis.
      defaults: {
        unit: kind === 'heatmap' ? 'short' : unit,
        ...(empty !== undefined && { noValue: empty }),
        ...(threshold && { thresholds: stepsOf(threshold), color: { mode: colourMode(kind) } }),
        custom: {
          ...customOf(kind),
          ...(threshold && kind === 'lines' && { thresholdsStyle: { mode: 'dashed' } }),
        },
      },
      overrides: kind === 'table' ? columnNames(panel) : fixedColours(panel),
    },
    options: optionsOf(panel),
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

/** Keeps a query of a line panel to the series with the highest or lowest values in the time range. */
function limited({ kind, queries, show }: Panel, legend: string, query: string): string {
  const labels = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
  const isSmall = labels.length < 2 && labels.every((label) => SMALL_LABELS.has(label));
  if (kind !== 'lines' || isSmall) return query;
  const share = Math.floor(MAX_SERIES / Object.keys(queries).length);
  const [choose, extreme] = show === 'highest' ? ['topk', 'max'] : ['bottomk', 'min'];
  return `(${query}) and ${choose}(${share}, ${extreme}_over_time((${query})[$__range:$__interval] @ end()))`;
}

function runbookLink(alert: string): object {
  return {
    title: `Runbook: ${alert}`,
    type: 'link',
    url: `\${runbooks}/${alert}.md`,
    icon: 'doc',
    tooltip: 'What the alert about this panel means, and what to do',
    tags: [],
    asDropdown: false,
    targetBlank: true,
    includeVars: false,
    keepTime: false,
  };
}

function colourMode(kind: Panel['kind']): string {
  return kind === 'lines' ? 'palette-classic' : 'thresholds';
}

function customOf(kind: Panel['kind']): object {
  return kind === 'lines' ? { fillOpacity: 8, lineWidth: 1, showPoints: 'never' } : {};
}

function optionsOf({ kind, unit, threshold, sortBy }: Panel): object {
  switch (kind) {
    case 'stat':
      return {
        reduceOptions: { calcs: ['lastNotNull'] },
        colorMode: threshold ? 'value' : 'none',
        graphMode: 'none',
      };
    case 'bars':
      return {
        reduceOptions: { calcs: ['lastNotNull'] },
        orientation: 'vertical',
        displayMode: 'basic',
        valueMode: 'text',
      };
    case 'lines':
      return {
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true, calcs: [] },
        tooltip: { mode: 'multi', sort: 'desc' },
      };
    case 'heatmap':
      return { calculate: false, yAxis: { unit }, cellGap: 0, color: { mode: 'scheme', scheme: 'Viridis' } };
    case 'table':
      return { showHeader: true, sortBy: sortBy.map((displayName) => ({ displayName, desc: true })) };
  }
}

/** Joins the rows of the queries by their labels, and hides the time. */
function tableTransformations(): object[] {
  return [
    { id: 'merge', options: {} },
    { id: 'organize', options: { excludeByName: { Time: true } } },
  ];
}

/** Green on the good side of the threshold, red on the other, yellow between them. */
function stepsOf(threshold: NonNullable<Panel['threshold']>): object {
  const { warn } = threshold;
  const upwards =
    'above' in threshold
      ? [
          { color: 'green', value: null },
          ...(warn === undefined ? [] : [{ color: 'yellow', value: warn }]),
          { color: 'red', value: threshold.above },
        ]
      : [
          { color: 'red', value: null },
          ...(warn === undefined ? [] : [{ color: 'yellow', value: threshold.below }]),
          { color: 'green', value: warn ?? threshold.below },
        ];
  return { mode: 'absolute', steps: upwards };
}

function fixedColours({ colours }: Panel): object[] {
  return Object.entries(colours).map(([name, fixedColor]) => ({
    matcher: { id: 'byName', options: name },
    properties: [{ id: 'color', value: { mode: 'fixed', fixedColor } }],
  }));
}

/** Names the columns by legend: Grafana's own names are the queries' ids. */
function columnNames({ queries, unit, columns }: Panel): object[] {
  const legends = Object.keys(queries);
  return legends.map((legend, index) => {
    const { unit: own = unit, threshold, texts = [] } = columns[legend] ?? {};
    return {
      matcher: { id: 'byName', options: legends.length === 1 ? 'Value' : `Value #${refId(index)}` },
      properties: [
        { id: 'displayName', value: legend },
        { id: 'unit', value: own },
        ...(texts.length > 0 ? [{ id: 'mappings', value: [valueTexts(texts)] }] : []),
        ...(threshold
          ? [
              { id: 'thresholds', value: stepsOf(threshold) },
              { id: 'custom.cellOptions', value: { type: 'color-text' } },
            ]
          : []),
      ],
    };
  });
}

function valueTexts(texts: readonly string[]): object {
  const options = Object.fromEntries(texts.map((text, index) => [String(index), { text, index }]));
  return { type: 'value', options };
}

function refId(index: number): string {
  return String.fromCodePoint('A'.codePointAt(0)! + index);
}
