/** Owns the dashboards as files: which there are, and what is common to all of them. */
import { decisions, decisionsTypedIn } from './decisions.js';
import { models } from './models.js';
import { layOut, type Section } from './panels.js';
import { service } from './service.js';
import { type TypedIn, variables } from './variables.js';

const SCHEMA_VERSION = 39;

/** The text of each file in docker/grafana/dashboards, by its name. */
export function dashboardFiles(): ReadonlyMap<string, string> {
  return new Map([
    ['service.json', dashboard('Service', service)],
    ['decisions.json', dashboard('Decisions', decisions, decisionsTypedIn)],
    ['models.json', dashboard('Models', models)],
  ]);
}

function dashboard(title: string, sections: readonly Section[], typedIn: readonly TypedIn[] = []): string {
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
    templating: { list: variables(typedIn) },
    panels: layOut(sections),
  };
  return `${JSON.stringify(content, null, 2)}\n`;
}
