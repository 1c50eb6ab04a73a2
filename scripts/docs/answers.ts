/** Requests and the service's real answers to them, for README.md and docs/reference.md. */
import type { ScoreResult } from '../../src/api/score-schemas.js';
import { decisionText } from '../../src/commands/decision-text.js';
import { answersTo, EXAMPLE, MEDIA_TYPE } from './service.js';

const POLICIES = [
  '{"name": "max_false_drop", "alpha": 0.05}',
  '{"name": "threshold", "value": 0.6}',
  '{"name": "top_k", "k": 2}',
  '{"name": "top_fraction", "fraction": 0.25}',
  '{"name": "plan", "seeds": 8, "keep": {"1": 7, "3": 6, "5": 2}}',
  '{"name": "score_only"}',
];
/** Further digits differ between processors. */
const DIGITS = 3;

/** What the documents show of the answers. */
export interface AnswerTexts {
  /** The table of the command `score`. */
  readonly decisions: string;
  /** A request under the default policy with its answer. */
  readonly answer: string;
  /** One request under each policy with an excerpt of its answer. */
  readonly policies: string;
}

export async function answerTexts(): Promise<AnswerTexts> {
  const answers = await answersTo(POLICIES);
  const policies = POLICIES.flatMap((policy, index) => [
    `curl -s http://127.0.0.1:8080/score -H 'x-policy: ${policy}' \\`,
    `  -H 'content-type: ${MEDIA_TYPE}' --data-binary @${EXAMPLE}`,
    ...excerptLines(answers[index]?.results ?? []),
  ]);
  const { results, ...shown } = answers[0] ?? fail();
  const decisions = [
    '```',
    `$ npx diffusion-probe-server score ${EXAMPLE}`,
    decisionText(answers[0], EXAMPLE).trimEnd(),
    '```',
  ];
  const answer = [
    '```sh',
    `curl -s http://127.0.0.1:8080/score -H 'content-type: ${MEDIA_TYPE}' --data-binary @${EXAMPLE}`,
    '```',
    '',
    '```json',
    `{${membersOf(shown)}, "results": [`,
    examplesOf(results)
      .map((result) => ({
        ...result,
        ...excerptOf(result),
        percentile: round(result.percentile, 0),
        p_good: round(result.p_good, 2),
        receipt: '…',
      }))
      .map((result) => `  {${membersOf(result)}}`)
      .join(',\n'),
    ']}',
    '```',
  ];
  return {
    decisions: decisions.join('\n'),
    answer: answer.join('\n'),
    policies: ['```sh', ...policies, '```'].join('\n'),
  };
}

function excerptLines(results: readonly ScoreResult[]): string[] {
  const kept = results.filter(({ decision }) => decision === 'keep').length;
  return [
    `# ${kept} of ${results.length} are kept, among the results:`,
    ...examplesOf(results).map((result) => `#   {${membersOf(excerptOf(result))}, …}`),
  ];
}

/** The first sample that is kept, and the first that is dropped. */
function examplesOf(results: readonly ScoreResult[]): ScoreResult[] {
  const firsts = (['keep', 'drop'] as const).map((wanted) =>
    results.find(({ decision }) => decision === wanted),
  );
  return firsts.filter((result) => result !== undefined);
}

function excerptOf({ index, score, rank, threshold, decision, reason }: ScoreResult): object {
  return { index, score: round(score, DIGITS), rank, threshold: round(threshold, DIGITS), decision, reason };
}

function round(value: number | null, digits: number): number | null {
  return value && Number(value.toFixed(digits));
}

function membersOf(value: object): string {
  return Object.entries(value)
    .map(([name, member]) => `"${name}": ${JSON.stringify(member)}`)
    .join(', ');
}

function fail(): never {
  throw new Error('there is no answer');
}
