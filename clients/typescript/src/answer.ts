/**
 * Owns what the client reads from an answer. It asks for no more than it needs and ignores the rest, so that a newer
 * service does not look broken to an older client.
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
    /** Undefined where the service is older than feedback. */
    receipt: z.string().optional(),
  })
  .transform(({ p_good: pGood, would_drop: wouldDrop, ...rest }) => ({ ...rest, pGood, wouldDrop }));

const answerSchema = z.discriminatedUnion('outcome', [
  z.object({
    outcome: z.literal('scored'),
    model: z.string(),
    version: z.int(),
    provider: z.string(),
    policy: z.looseObject({ name: z.string() }),
    results: z.array(resultSchema),
  }),
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

/** What the service answered, before the client adds its decisions. */
export type ServiceAnswer = z.output<typeof answerSchema>;

/** What became of returned receipts. */
export type FeedbackAnswer = z.output<typeof feedbackAnswerSchema>;

/** The problem document of a refused request. */
export type Problem = z.output<typeof problemSchema>;

/** Reads the body of a 200; undefined when it is not an answer for this many samples. */
export function readAnswer(body: unknown, samples: number): ServiceAnswer | undefined {
  const { data } = answerSchema.safeParse(body);
  return data?.outcome === 'scored' && data.results.length !== samples ? undefined : data;
}

/** Reads the body of a 200 to feedback; undefined when it is no answer. */
export function readFeedbackAnswer(body: unknown): FeedbackAnswer | undefined {
  return feedbackAnswerSchema.safeParse(body).data;
}

/** Reads the body of an error; undefined when it is no problem document. */
export function readProblem(body: unknown): Problem | undefined {
  return problemSchema.safeParse(body).data;
}
