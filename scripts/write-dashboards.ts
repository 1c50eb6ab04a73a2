/** Owns `npm run dashboards`: writes docker/grafana/dashboards. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { dashboardFiles } from './dashboards/dashboards.js';

const FOLDER = path.join('docker', 'grafana', 'dashboards');

await mkdir(FOLDER, { recursive: true });
for (const [name, text] of dashboardFiles()) await writeFile(path.join(FOLDER, name), text);
