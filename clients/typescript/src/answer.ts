/**
 * Reads the service's answers. It checks only the members that the client uses and ignores all others, so that an older
 * client can read the answers of a newer service.
 */
import * as z from 'zod';

const resultSchema = z
  .object({
    index: z.int(),
    id: z.string().nullable(),
    score: z.number(),
    percentile: z.number().nullable(),
    p_good: z.number().nullable(),
    rank: z.int(),
    threshold: z.number().nullable(),
    would_drop: z.boolean(),
    override: z.string().nullable(),
    decision: z.enum(['keep', 'drop']),
    reason: z.string(),
    /** Undefined when the service is too old to take feedback. */
    receipt: z.string().optional(),
  })
  .transform(({ p_good: pGood, would_drop: wouldDrop, ...rest }) => ({ ...rest, pGood, wouldDrop }));

const scoredSchema = z
  .object({
    outcome: z.literal('scored'),
    model: z.string(),
    version: z.int(),
    provider: z.string(),
    policy: z.looseObject({ name: z.string() }),
    /** Services of version 0.2 do not compare conditions. */
    conditions: z.string().default('unstated'),
    foreign_conditions: z.array(z.string()).default([]),
    results: z.array(resultSchema),
  })
  .transform(({ foreign_conditions: foreignConditions, ...rest }) => ({ ...rest, foreignConditions }));

const answerSchema = z.discriminatedUnion('outcome', [
  scoredSchema,
  z.object({ outcome: z.literal('failed_open'), reason: z.string() }),
]);

const feedbackAnswerSchema = z.object({
  accepted: z.int(),
  refused: z.array(z.object({ index: z.int(), reason: z.string() })),
});

const problemSchema = z.looseObject({
  code: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
});

/** Score and decision of one sample; the members are those of the service's answer. */
export type SampleResult = z.output<typeof resultSchema>;

/** The answer to /score, before the client adds its decisions. */
export type ServiceAnswer = z.output<typeof answerSchema>;

/** The answer to /feedback: how many receipts counted, and why the others did not. */
export type FeedbackAnswer = z.output<typeof feedbackAnswerSchema>;

/** The problem document of a refused request. */
export type Problem = z.output<typeof problemSchema>;

/** Reads the body of a 200 of /score; undefined when it is not an answer for this many samples. */
export function readAnswer(body: unknown, samples: number): ServiceAnswer | undefined {
  const { data } = answerSchema.safeParse(body);
  return data?.outcome === 'scored' && data.results.length !== samples ? undefined : data;
}

/** Reads the body of a 200 of /feedback; undefined when it is not an answer. */
export function readFeedbackAnswer(body: unknown): FeedbackAnswer | undefined {
  return feedbackAnswerSchema.safeParse(body).data;
}

/** Reads the body of an error; undefined when it is not a problem document. */
export function readProblem(body: unknown): Problem | undefined {
  return problemSchema.safeParse(body).data;
}
