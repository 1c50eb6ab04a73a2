/** Owns POST /feedback: receipts come back with the true quality of their images. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { problem } from '../errors.js';
import { type FeedbackIntake, type FeedbackItem, FEEDBACK_REFUSALS } from '../feedback/intake.js';
import { parseStrictJson } from '../wire/strict-json.js';
import { problemResponses } from './problem-responses.js';

const JSON_TYPE = 'application/json';
const MAX_ITEMS = 1000;
/** Room for as many of the longest receipts. */
const MAX_BODY_BYTES = 4_194_304;

const REFUSAL_MEANINGS: Readonly<Record<(typeof FEEDBACK_REFUSALS)[number], string>> = {
  malformed: 'it is no receipt',
  foreign: 'signed by a key that this replica does not know',
  tampered: 'the signature does not fit',
  expired: 'older than receipts live',
  repeated: 'it has come before',
  dropped: 'the sample was dropped, so there should be no image; in shadow mode nothing is dropped',
  invalid_quality: 'the quality is not a finite number',
};

const requestSchema = z
  .object({
    feedback: z
      .array(
        z.object({
          receipt: z.string().describe('As /score gave it'),
          quality: z.number().describe('Of the finished image, in the units of the probe’s metric'),
        }),
      )
      .min(1)
      .max(MAX_ITEMS)
      .describe('All receipts of one sample, where it was judged at several steps, belong into one request'),
  })
  .meta({ id: 'Feedback', description: 'What became of samples that were finished.' });

/** What is checked of the whole; the items are checked one by one. */
const looseRequestSchema = z.strictObject({
  feedback: z.array(z.unknown()).min(1).max(MAX_ITEMS),
});

const answerSchema = z
  .object({
    accepted: z.int().min(0).describe('How many count'),
    refused: z
      .array(
        z.object({
          index: z.int().min(0).describe('The place in the request'),
          reason: z
            .enum(FEEDBACK_REFUSALS)
            .describe(FEEDBACK_REFUSALS.map((reason) => `${reason}: ${REFUSAL_MEANINGS[reason]}`).join('; ')),
        }),
      )
      .describe('The others; sending them again changes nothing'),
  })
  .meta({ id: 'FeedbackAnswer' });

export interface FeedbackRouteOptions {
  readonly intake: FeedbackIntake;
}

/** Adds POST /feedback in a scope of its own, which takes JSON. */
export async function registerFeedback(app: FastifyInstance, { intake }: FeedbackRouteOptions) {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    JSON_TYPE,
    { parseAs: 'string', bodyLimit: MAX_BODY_BYTES },
    (_request, body, done) => done(null, body),
  );
  app.post('/feedback', {
    schema: routeSchema(),
    // The schema describes; an item that does not follow it must not cost the others.
    validatorCompiler: () => (value) => ({ value }),
    handler: async (request) => intake.take(readItems(request.body)),
  });
}

function readItems(body: unknown): FeedbackItem[] {
  const parsed = looseRequestSchema.safeParse(readJson(body));
  if (parsed.success) return parsed.data.feedback.map(toItem);
  const [issue] = parsed.error.issues;
  throw problem('invalid_feedback', `The feedback is not valid: ${issue?.message}.`, {
    field: issue?.path.join('.') || 'body',
    expected: `{"feedback": [{"receipt", "quality"}, ...]}, 1 to ${MAX_ITEMS} of them`,
  });
}

function toItem(value: unknown): FeedbackItem {
  const { receipt, quality } = (value ?? {}) as Partial<FeedbackItem>;
  return { receipt, quality };
}

function readJson(body: unknown): unknown {
  try {
    return parseStrictJson(typeof body === 'string' ? body : '');
  } catch (error) {
    throw problem('malformed_body', `The body is ${(error as Error).message}.`, {
      field: 'body',
      cause: error,
    });
  }
}

function routeSchema(): FastifyZodOpenApiSchema {
  return {
    operationId: 'feedback',
    summary: 'Tell the true quality of finished images',
    description:
      'Turns into the live correlation and the live false-drop rate in the metrics. ' +
      'Each receipt is taken or refused by itself.',
    tags: ['feedback'],
    body: { required: true, content: { [JSON_TYPE]: { schema: requestSchema } } },
    response: {
      '200': { description: 'How many count', content: { [JSON_TYPE]: { schema: answerSchema } } },
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
