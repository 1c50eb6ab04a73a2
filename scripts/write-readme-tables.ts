/** Owns `npm run readme`: brings README.md and docs/decisions.md up to date with the code and with the shipped probe. */
import { readFile, writeFile } from 'node:fs/promises';

import { withStudy } from './decisions-study.js';
import { withTables } from './readme-tables.js';

await writeFile('README.md', await withTables(await readFile('README.md', 'utf8')));
await writeFile('docs/decisions.md', await withStudy(await readFile('docs/decisions.md', 'utf8')));
