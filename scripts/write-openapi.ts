/** Owns `npm run openapi`: writes openapi/openapi.json. */
import { writeFileSync } from 'node:fs';

import { openApiText } from './openapi-text.js';

writeFileSync(new URL('../../openapi/openapi.json', import.meta.url), await openApiText());
