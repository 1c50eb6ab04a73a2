/** Owns `npm run readme`: brings README.md, docs/decisions.md and docs/scaling.md up to date with the code and the measurements. */
import { readFile, writeFile } from 'node:fs/promises';

import { withTables } from './readme-tables.js';
import { withScaling } from './scaling-tables.js';

await writeFile('README.md', await withTables(await readFile('README.md', 'utf8')));
await writeFile('docs/scaling.md', withScaling(await readFile('docs/scaling.md', 'utf8')));
