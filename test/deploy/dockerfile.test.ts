/** The Dockerfile is read as Docker reads it, so that what `npm run test:image` builds is what Docker would. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { execForm, filledIn, pairsOf, parseDockerfile } from './image/dockerfile.js';

test('stages, instructions and what stands before them', () => {
  const text = `# comment
ARG BASE=debian:12
FROM \${BASE} AS build
RUN one \\
  # a comment within
  && two
FROM build
ENV A=1 B="two words"
ENTRYPOINT ["node", "main.js"]
`;
  const { args, stages } = parseDockerfile(text);
  assert.deepEqual(args, { BASE: 'debian:12' });
  assert.deepEqual(
    stages.map(({ name, from }) => [name, filledIn(from, args)]),
    [
      ['build', 'debian:12'],
      ['1', 'build'],
    ],
  );
  assert.match(stages[0]?.instructions[0]?.text ?? '', /^one +&& two$/);
  assert.deepEqual(pairsOf(stages[1]?.instructions[0]?.text ?? ''), { A: '1', B: 'two words' });
  assert.deepEqual(execForm(stages[1]?.instructions[1]?.text ?? ''), ['node', 'main.js']);
  assert.throws(() => parseDockerfile('RUN true'), /before the first FROM/);
});

for (const file of ['Dockerfile', 'docker/Dockerfile.cuda'])
  test(`${file} ends in a stage that runs as a user who is not root`, () => {
    const last = parseDockerfile(readFileSync(file, 'utf8')).stages.at(-1);
    const inherited = parseDockerfile(readFileSync(file, 'utf8')).stages.find(
      ({ name }) => name === last?.from,
    );
    const all = [...(inherited?.instructions ?? []), ...(last?.instructions ?? [])];
    assert.match(all.findLast(({ name }) => name === 'USER')?.text ?? '', /^[1-9]\d*:[1-9]\d*$/);
    assert.ok(all.some(({ name }) => name === 'HEALTHCHECK'));
  });
