/** The Grafana dashboards as files: their variables, links and panels. */
import { decisions } from './decisions.js';
import { models } from './models.js';
import { type DashboardSource, DATASOURCE, layOut } from './panels.js';
import { service } from './service.js';

const SCHEMA_VERSION = 39;

/** The text of each file in docker/grafana/dashboards by its name. */
export function dashboardFiles(): Record<string, string> {
  return {
    'service.json': dashboardText(service),
    'decisions.json': dashboardText(decisions),
    'models.json': dashboardText(models),
  };
}

function dashboardText({ title, sections, inputs = [] }: DashboardSource): string {
  const content = {
    uid: `diffusion-probe-${title.toLowerCase()}`,
    title: `Diffusion Probe: ${title}`,
    tags: ['diffusion-probe'],
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    schemaVersion: SCHEMA_VERSION,
    time: { from: 'now-1h', to: 'now' },
    links: [{ type: 'dashboards', title: 'Diffusion Probe', tags: ['diffusion-probe'], keepTime: true }],
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
        filter('model', 'Probe', 'label_values(diffusion_probe_model_info, model)'),
        filter('version', 'Version', 'label_values(diffusion_probe_model_info{model=~"$model"}, version)'),
        filter('instance', 'Replica', 'label_values(diffusion_probe_build_info, instance)'),
        ...inputs.map(({ value, ...named }) => ({
          ...named,
          type: 'textbox',
          query: value,
          current: { text: value, value },
        })),
      ],
    },
    panels: layOut(sections),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}

/** A variable that shows everything by default, including series whose label is empty. */
function filter(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource: DATASOURCE,
    query: { query, refId: name },
    definition: query,
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: '.*',
    current: { text: ['All'], value: ['$__all'] },
  };
}
