/** The requests of a drawing: the last one as a file and as programs, and each answer. */
import { useEffect, useMemo, useState } from 'preact/hooks';

import type { Exchange } from '../messages.js';
import { REQUEST_FILE, requestPrograms } from './request-code.js';

interface RequestViewProps {
  readonly exchanges: readonly Exchange[];
}

const ANSWER = 'Answer';

export function RequestView({ exchanges }: RequestViewProps) {
  const [step, setStep] = useState<number>();
  const [tab, setTab] = useState(ANSWER);
  const exchange = exchanges.find((one) => one.step === step) ?? exchanges.at(-1);
  if (!exchange) return <p class="note">No request was sent yet.</p>;
  const service = new URL('.', document.baseURI).href.replace(/\/$/, '');
  const programs = requestPrograms(service);
  const code = tab === ANSWER ? prettyJson(exchange.answer) : programs.find(({ name }) => name === tab)?.code;
  return (
    <>
      <div class="row">
        <Choice
          name="Step"
          values={exchanges.map((one) => String(one.step))}
          chosen={String(exchange.step)}
          text={(value) => `step ${value}`}
          onChoose={(value) => setStep(Number(value))}
        />
        <Choice
          name="Shown"
          values={[ANSWER, ...programs.map(({ name }) => name)]}
          chosen={tab}
          text={(value) => value}
          onChoose={setTab}
        />
        <Download body={exchange.body} />
      </div>
      <p class="note">
        {exchange.seeds.length} images were asked about at step {exchange.step}, in one request of{' '}
        {Math.round(exchange.body.byteLength / 1000)} kB; the answer came after {exchange.ms.toFixed(0)} ms.
      </p>
      <pre tabIndex={0} aria-label={tab}>
        {code}
      </pre>
    </>
  );
}

interface ChoiceProps {
  readonly name: string;
  readonly values: readonly string[];
  readonly chosen: string;
  readonly text: (value: string) => string;
  readonly onChoose: (value: string) => void;
}

function Choice({ name, values, chosen, text, onChoose }: ChoiceProps) {
  return (
    <div class="choice" role="group" aria-label={name}>
      {values.map((value) => (
        <button key={value} type="button" aria-pressed={value === chosen} onClick={() => onChoose(value)}>
          {text(value)}
        </button>
      ))}
    </div>
  );
}

/** A link to the body of the request. */
function Download({ body }: { body: ArrayBuffer }) {
  const url = useMemo(() => URL.createObjectURL(new Blob([body])), [body]);
  useEffect(() => () => URL.revokeObjectURL(url), [url]);
  return (
    <a href={url} download={REQUEST_FILE}>
      {REQUEST_FILE}
    </a>
  );
}

function prettyJson(answer: string | undefined): string {
  if (answer === undefined) return 'There was no answer, so every image is kept.';
  try {
    return JSON.stringify(JSON.parse(answer), null, 2);
  } catch {
    return answer;
  }
}
