/** POST /feedback: takes receipts with the true quality of their images. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { messageOf, problem } from '../errors.js';
import {
  type FeedbackIntake,
  type FeedbackItem,
  type FeedbackResult,
  FEEDBACK_REFUSALS,
} from '../feedback/intake.js';
import { inSlices, type Steps } from '../wire/slices.js';
import { parseBytesInSteps } from '../wire/strict-json.js';
import { problemResponses } from './docs.js';

const JSON_TYPE = 'application/json';
const MAX_ITEMS = 1000;
/** Enough for the maximum number of the longest receipts, which have 2,104 characters. */
const MAX_BODY_BYTES = 2_359_296;

const REFUSAL_MEANINGS: Readonly<Record<(typeof FEEDBACK_REFUSALS)[number], string>> = {
  malformed: 'not a receipt',
  foreign: 'signed with a key that this replica does not know',
  tampered: 'the signature is wrong',
  expired: 'older than the lifetime of receipts',
  repeated: 'received before',
  dropped: 'the sample was dropped, so it should have no image; shadow mode drops nothing',
  invalid_quality: 'the quality is not a finite number',
};

const requestSchema = z
  .object({
    feedback: z
      .array(
        z.object({
          receipt: z.string().describe('The receipt from the answer of /score'),
          quality: z
            .number()
            .describe('The quality of the finished image, in the units of the probe’s metric'),
        }),
      )
      .min(1)
      .max(MAX_ITEMS)
      .describe(
        'A sample with decisions at several steps has several receipts; send all of them in one request',
      ),
  })
  .meta({ id: 'Feedback', description: 'The true qualities of finished images.' });

/** The request as a whole; the intake checks each item. */
const looseRequestSchema = z.strictObject({
  feedback: z.array(z.unknown()).min(1).max(MAX_ITEMS),
});

const answerSchema = z
  .object({
    accepted: z.int().min(0).describe('How many receipts were counted'),
    refused: z
      .array(
        z.object({
          index: z.int().min(0).describe('The index in the request'),
          reason: z
            .enum(FEEDBACK_REFUSALS)
            .describe(FEEDBACK_REFUSALS.map((reason) => `${reason}: ${REFUSAL_MEANINGS[reason]}`).join('; ')),
        }),
      )
      .describe('The other receipts; sending them again has the same result'),
  })
  .meta({ id: 'FeedbackAnswer' });

/** Adds POST /feedback in a scope of its own, which parses JSON. */
export async function registerFeedback(app: FastifyInstance, { intake }: { intake: FeedbackIntake }) {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    JSON_TYPE,
    { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES },
    (_request, body, done) => done(null, body),
  );
  app.post('/feedback', {
    schema: routeSchema(),
    // The schema is documentation: an invalid item must not make the others fail.
    validatorCompiler: () => (value) => ({ value }),
    // In slices, because so many receipts take longer than any request may hold the event loop.
    handler: async (request) => inSlices(takeFeedback(intake, request.body)),
  });
}

function* takeFeedback(intake: FeedbackIntake, body: unknown): Steps<FeedbackResult> {
  const parsed = looseRequestSchema.safeParse(yield* readJson(body as Buffer));
  if (parsed.success)
    return yield* intake.take(parsed.data.feedback.map((item) => (item ?? {}) as FeedbackItem));
  const [issue] = parsed.error.issues;
  throw problem('invalid_feedback', `The feedback is not valid: ${issue?.message}.`, {
    field: issue?.path.join('.') || 'body',
    expected: `{"feedback": [{"receipt", "quality"}, ...]} with 1 to ${MAX_ITEMS} items`,
  });
}

function* readJson(body: Buffer): Steps<unknown> {
  try {
    return yield* parseBytesInSteps(body);
  } catch (error) {
    throw problem('malformed_body', `The body is ${messageOf(error)}.`, {
      field: 'body',
      cause: error,
    });
  }
}

function routeSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'feedback',
    summary: 'Report the true quality of finished images',
    description:
      'The metrics show the live correlation and the live false-drop rate. ' +
      'Each receipt is accepted or refused separately.',
    tags: ['feedback'],
    body: { required: true, content: { [JSON_TYPE]: { schema: requestSchema } } },
    response: {
      '200': {
        description: 'Which receipts were counted',
        content: { [JSON_TYPE]: { schema: answerSchema } },
      },
      ...problemResponses([
        'malformed_request',
        'malformed_body',
        'unauthorized',
        'body_too_large',
        'unsupported_media_type',
        'invalid_feedback',
        'internal',
      ]),
    },
  };
}
