/** The caption, typed or picked. */
import { useState } from 'preact/hooks';

import { CaptionError } from '../../world/caption.js';
import {
  BACKGROUNDS,
  type Caption,
  captionText,
  MAX_THINGS,
  parseCaption,
  type Phrase,
  PICTOGRAMS,
} from '../../world/grammar.js';

interface CaptionPickerProps {
  readonly caption: string;
  /** Why the caption that was drawn last is refused. */
  readonly refused: string | undefined;
  readonly onCaption: (caption: string) => void;
}

const COUNTS = ['1', '2', '3'];
const JOINTS = { left: 'left of', above: 'above', and: 'and', none: 'alone' } as const;
type Joint = keyof typeof JOINTS;

export function CaptionPicker({ caption, refused, onCaption }: CaptionPickerProps) {
  const [typed, setTyped] = useState<string>();
  const parsed = parsedOrReason(caption);
  const problem = refused ?? (typeof parsed === 'string' ? parsed : undefined);
  const submit = (event: Event): void => {
    event.preventDefault();
    onCaption(typed ?? caption);
    setTyped(undefined);
  };
  return (
    <form class="caption" onSubmit={submit}>
      <label for="caption">Caption</label>
      <div class="row">
        <input
          id="caption"
          type="text"
          autocomplete="off"
          spellcheck={false}
          value={typed ?? caption}
          aria-invalid={problem !== undefined}
          aria-describedby={problem === undefined ? undefined : 'caption-problem'}
          onInput={({ currentTarget }) => setTyped(currentTarget.value)}
        />
        <button type="submit" class="primary">
          Draw
        </button>
      </div>
      {problem !== undefined && (
        <p id="caption-problem" class="problem" role="alert">
          {problem}
        </p>
      )}
      {typeof parsed !== 'string' && (
        <Pickers caption={parsed} onChange={(changed) => onCaption(captionText(changed))} />
      )}
    </form>
  );
}

function Pickers({ caption, onChange }: { caption: Caption; onChange: (caption: Caption) => void }) {
  const { phrases, relation, background } = caption;
  const [first, second, ...others] = phrases;
  const joint: Joint = second ? (relation ?? 'and') : 'none';
  const join = (next: Joint): void => {
    const added: Phrase = { pictogram: PICTOGRAMS.find((name) => name !== first!.pictogram)!, count: 1 };
    onChange({
      ...caption,
      phrases: next === 'none' ? [first!] : [first!, second ?? added, ...others],
      relation: next === 'left' || next === 'above' ? next : undefined,
    });
  };
  return (
    <div class="pickers">
      <PhrasePicker
        name="First thing"
        phrase={first!}
        others={phrases.slice(1)}
        onChange={(phrase) => onChange({ ...caption, phrases: [phrase, ...phrases.slice(1)] })}
      />
      <Select name="Relation" value={joint} options={JOINTS} onChange={(value) => join(value as Joint)} />
      {second && (
        <PhrasePicker
          name="Second thing"
          phrase={second}
          others={[first!, ...others]}
          onChange={(phrase) => onChange({ ...caption, phrases: [first!, phrase, ...others] })}
        />
      )}
      <Select
        name="Background"
        value={background}
        options={Object.fromEntries(BACKGROUNDS.map((colour) => [colour, `on ${colour}`]))}
        onChange={(value) => onChange({ ...caption, background: value })}
      />
    </div>
  );
}

interface PhrasePickerProps {
  readonly name: string;
  readonly phrase: Phrase;
  /** The other phrases, whose pictograms are not offered. */
  readonly others: readonly Phrase[];
  readonly onChange: (phrase: Phrase) => void;
}

function PhrasePicker({ name, phrase, others, onChange }: PhrasePickerProps) {
  const most = MAX_THINGS - others.reduce((sum, { count }) => sum + count, 0);
  const counts = COUNTS.filter((count) => Number(count) <= most);
  const pictograms = PICTOGRAMS.filter((candidate) =>
    others.every(({ pictogram }) => pictogram !== candidate),
  );
  return (
    <span class="phrase">
      <Select
        name={`${name}: how many`}
        value={String(phrase.count)}
        options={Object.fromEntries(counts.map((count) => [count, `${count} ×`]))}
        onChange={(count) => onChange({ ...phrase, count: Number(count) })}
      />
      <Select
        name={name}
        value={phrase.pictogram}
        options={Object.fromEntries(pictograms.map((pictogram) => [pictogram, pictogram]))}
        onChange={(pictogram) => onChange({ ...phrase, pictogram })}
      />
    </span>
  );
}

interface SelectProps {
  readonly name: string;
  readonly value: string;
  readonly options: Readonly<Record<string, string>>;
  readonly onChange: (value: string) => void;
}

function Select({ name, value, options, onChange }: SelectProps) {
  return (
    <select aria-label={name} value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
      {Object.entries(options).map(([key, text]) => (
        <option key={key} value={key} selected={key === value}>
          {text}
        </option>
      ))}
    </select>
  );
}

function parsedOrReason(caption: string): Caption | string {
  try {
    return parseCaption(caption);
  } catch (error) {
    if (error instanceof CaptionError) return error.message;
    throw error;
  }
}
