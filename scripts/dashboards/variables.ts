/** Owns what a viewer can choose on a dashboard, and how queries filter by it. */

/** Filters of series that a replica exposes for one version of a probe. */
export const BY_PROBE = 'model=~"$model",version=~"$version",instance=~"$instance"';
/** Filters of series that a replica exposes for itself. */
export const BY_REPLICA = 'instance=~"$instance"';
/** Filters of series that recording rules make over all replicas. */
export const BY_VERSION = 'model=~"$model",version=~"$version"';

/** A number that the viewer types in. */
export interface TypedIn {
  readonly name: string;
  readonly label: string;
  readonly value: string;
}

/** The variables that all dashboards have, then the dashboard's own. */
export function variables(typedIn: readonly TypedIn[]): object[] {
  return [
    { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
    choice('model', 'Probe', 'label_values(diffusion_probe_model_info, model)'),
    choice('version', 'Version', 'label_values(diffusion_probe_model_info{model=~"$model"}, version)'),
    choice('instance', 'Replica', 'label_values(diffusion_probe_build_info, instance)'),
    ...typedIn.map(({ name, label, value }) => ({
      name,
      label,
      type: 'textbox',
      query: value,
      current: { text: value, value },
    })),
  ];
}

/** Everything unless the viewer chooses; "everything" holds what has an empty label too. */
function choice(name: string, label: string, query: string): object {
  return {
    name,
    label,
    type: 'query',
    datasource: { type: 'prometheus', uid: '${datasource}' },
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
