/** Owns `npm run readme`: brings the tables of README.md up to date with the code. */
import { readFile, writeFile } from 'node:fs/promises';

import { withTables } from './readme-tables.js';

await writeFile('README.md', await withTables(await readFile('README.md', 'utf8')));
