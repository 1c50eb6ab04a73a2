/** POST /feedback: takes receipts with the true quality of their images. */
import type { FastifyInstance } from 'fastify';
import type { FastifyZodOpenApiSchema } from 'fastify-zod-openapi';
import * as z from 'zod';

import { type FeedbackIntake, FEEDBACK_REFUSALS } from '../feedback/intake.js';
import { sharedCopy } from '../wire/body-memory.js';
import { MAX_RECEIPTS } from '../wire/json.js';
import type { JsonThread } from '../wire/json-thread.js';
import { problemResponses } from './docs.js';

const JSON_TYPE = 'application/json';
/** Enough for the maximum number of the longest receipts, which have 2,104 characters. */
const MAX_BODY_BYTES = 2_359_296;

interface FeedbackRouteOptions {
  readonly intake: FeedbackIntake;
  readonly json: JsonThread;
}

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
  .strictObject({
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
      .max(MAX_RECEIPTS)
      .describe(
        'A sample with decisions at several steps has several receipts; send all of them in one request',
      ),
  })
  .meta({ id: 'Feedback', description: 'The true qualities of finished images.' });

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

/** Adds POST /feedback in a scope of its own, in which bodies are bytes. */
export async function registerFeedback(app: FastifyInstance, { intake, json }: FeedbackRouteOptions) {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    JSON_TYPE,
    { parseAs: 'buffer', bodyLimit: MAX_BODY_BYTES },
    (_request, body, done) => done(null, body),
  );
  app.post<{ Body?: Buffer }>('/feedback', {
    schema: routeSchema(),
    // The schema is documentation: an invalid item must not make the others fail.
    validatorCompiler: () => (value) => ({ value }),
    handler: async ({ body = Buffer.alloc(0) }) => intake.take(await json.read({ bytes: sharedCopy(body) })),
  });
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
        'malformed_body',
        'unauthorized',
        'body_too_large',
        'invalid_feedback',
        'internal',
      ]),
    },
  };
}
