/** `npm run generate:docs`: writes every generated file. */
import { writeFile } from 'node:fs/promises';

import { generatedFiles } from './generated-files.js';

for (const [file, text] of Object.entries(await generatedFiles())) await writeFile(file, text);
