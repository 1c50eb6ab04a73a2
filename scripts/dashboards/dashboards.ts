/** Makes the Grafana dashboards from the YAML files beside this module's source, which describe their panels. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { parse } from 'yaml';
import * as z from 'zod';

import { DATASOURCE, layOut, sectionSchema } from './panels.js';

const FOLDER = 'scripts/dashboards';
const NAMES = ['service', 'decisions', 'models'];
const SCHEMA_VERSION = 39;
/** Where compose has Grafana serve the runbooks. */
const RUNBOOKS = { name: 'runbooks', label: 'Address of the runbooks', value: '/public/runbooks' };

/** Changes that are marked in all time series: what a replica reads while it runs. Grafana asks for them once a minute. */
const EVENTS = [
  {
    name: 'Files reloaded',
    iconColor: 'blue',
    titleFormat: '{{file}} reloaded',
    expr: 'sum by (file) (increase(diffusion_probe_file_reloads_total{outcome="loaded",$(BY_REPLICA)}[1m])) > 0',
  },
  {
    name: 'Files refused',
    iconColor: 'red',
    titleFormat: '{{file}} refused',
    expr: 'sum by (file) (increase(diffusion_probe_file_reloads_total{outcome="refused",$(BY_REPLICA)}[1m])) > 0',
  },
  {
    name: 'Probes loaded',
    iconColor: 'purple',
    titleFormat: '{{model}}@{{version}} loaded',
    // A counter that appears with its first load has no increase.
    expr: 'count by (model, version) (diffusion_probe_model_info{$(BY_PROBE)}) unless count by (model, version) (diffusion_probe_model_info{$(BY_PROBE)} offset 1m)',
  },
];

/** Expressions that all dashboards can use. */
const SHARED_EXPRESSIONS = {
  /** Filters series that a replica exposes for one version of a probe. */
  BY_PROBE: 'model=~"$model",version=~"$version",instance=~"$instance"',
  /** Filters series that a replica exposes for itself. */
  BY_REPLICA: 'instance=~"$instance"',
  /** Filters series that recording rules compute over all replicas. */
  BY_VERSION: 'model=~"$model",version=~"$version"',
};

const dashboardSchema = z.strictObject({
  title: z.string(),
  /** Numbers that the viewer can type in, as variables of the queries. */
  inputs: z.array(z.strictObject({ name: z.string(), label: z.string(), value: z.string() })).default([]),
  /** PromQL that queries and later expressions use as $(NAME). */
  expressions: z.record(z.string(), z.string()),
  sections: z.array(sectionSchema),
});

/** The text of each file in docker/grafana/dashboards by its name. */
export async function dashboardFiles(): Promise<Record<string, string>> {
  const texts = NAMES.map(async (name): Promise<[string, string]> => {
    const source = await readFile(path.join(FOLDER, `${name}.yml`), 'utf8');
    return [`${name}.json`, dashboardText(dashboardSchema.parse(parse(source)))];
  });
  return Object.fromEntries(await Promise.all(texts));
}

function dashboardText({ title, inputs, expressions, sections }: z.output<typeof dashboardSchema>): string {
  const all = { ...SHARED_EXPRESSIONS, ...expressions };
  const content = {
    uid: `diffusion-probe-${title.toLowerCase()}`,
    title: `Diffusion Probe: ${title}`,
    tags: ['diffusion-probe'],
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    schemaVersion: SCHEMA_VERSION,
    time: { from: 'now-1h', to: 'now' },
    links: [
      {
        type: 'dashboards',
        title: 'Diffusion Probe',
        icon: 'dashboard',
        tooltip: '',
        tags: ['diffusion-probe'],
        asDropdown: false,
        targetBlank: false,
        includeVars: false,
        keepTime: true,
      },
    ],
    annotations: {
      list: EVENTS.map(({ expr, ...event }) => ({
        ...event,
        datasource: DATASOURCE,
        enable: true,
        expr: expand(expr, all),
      })),
    },
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
        filter('model', 'Probe', 'label_values(diffusion_probe_model_info, model)'),
        filter('version', 'Version', 'label_values(diffusion_probe_model_info{model=~"$model"}, version)'),
        filter('instance', 'Replica', 'label_values(diffusion_probe_build_info, instance)'),
        ...[...inputs, RUNBOOKS].map(({ value, ...named }) => ({
          ...named,
          type: 'textbox',
          query: value,
          current: { text: value, value },
        })),
      ],
    },
    panels: layOut(sections, (query) => expand(query, all)),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** Replaces $(NAME) by the expression of that name, also within expressions. */
function expand(query: string, expressions: Readonly<Record<string, string>>): string {
  return query.replaceAll(/\$\(([A-Z_]+)\)/g, (_, name: string) => {
    const expression = expressions[name];
    if (expression === undefined) throw new Error(`there is no expression ${name}`);
    return expand(expression, expressions);
  });
}

/** A variable that shows everything by default, including series whose label is empty. */
function filter(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'] },
  };
}
