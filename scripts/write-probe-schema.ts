/** Owns `npm run schema`: writes models/probe.schema.json from the zod schema. */
import { writeFile } from 'node:fs/promises';

import { manifestJsonSchema } from '../src/probe/manifest.js';

await writeFile('models/probe.schema.json', `${JSON.stringify(manifestJsonSchema(), null, 2)}\n`);
