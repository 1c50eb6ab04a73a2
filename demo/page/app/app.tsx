/** The page: what is drawn on the left, the candidates and the account beside it, the requests below. */
import { useEffect, useState } from 'preact/hooks';

import { nearestChoice } from '../plan-choices.js';
import presetFile from '../presets.json' with { type: 'json' };
import { AccountView } from './account-view.js';
import { Budget } from './budget.js';
import { CandidateDialog } from './candidate-dialog.js';
import { CaptionPicker } from './caption-picker.js';
import { Card } from './card.js';
import { Funnel } from './funnel.js';
import { RequestView } from './request-view.js';
import type { Drawing } from './state.js';
import { Status } from './status.js';
import { useWorker, type Wish } from './use-worker.js';

const { presets, rule } = presetFile;
const FIRST = presets[0]!;
const BUDGET = 3;
/** Seeds that other presets do not use. */
const SEEDS_AT_ONCE = 8;

export function App() {
  const [state, draw] = useWorker();
  const [wish, setWish] = useState<Wish>({ ...FIRST, budget: BUDGET });
  const [word, setWord] = useState<number>();
  const [showsCompleted, setShowsCompleted] = useState(false);
  const [opened, setOpened] = useState<number>();
  useEffect(() => draw(wish), [wish, draw]);
  const change = (changes: Partial<Wish>): void => {
    setOpened(undefined);
    setWish({ ...wish, ...changes });
  };
  const changeCaption = (caption: string): void => {
    setWord(undefined);
    change({ caption });
  };
  const { facts, drawing, choices } = state;
  const best = drawing && bestSeed(drawing);
  const candidate = drawing?.candidates.find(({ seed }) => seed === opened);
  return (
    <>
      <header class="top">
        <Logo />
        <h1>Diffusion Probe</h1>
        <Status state={state} />
        <a href="docs">API</a>
      </header>
      <main>
        <p class="lead">
          Images of one caption are drawn here, in your browser. A few steps in, the service predicts from
          their attention which will turn out well; the others stop.
        </p>
        <div class="layout">
          <div class="controls">
            <div class="presets" role="group" aria-label="Presets">
              {presets.map((preset) => (
                <button
                  key={preset.name}
                  type="button"
                  aria-pressed={preset.caption === wish.caption && preset.firstSeed === wish.firstSeed}
                  onClick={() => {
                    setWord(undefined);
                    change({ caption: preset.caption, firstSeed: preset.firstSeed });
                  }}
                >
                  {preset.name}
                </button>
              ))}
            </div>
            <CaptionPicker caption={wish.caption} refused={drawing?.refused} onCaption={changeCaption} />
            <div class="seed">
              <label for="seed">First seed</label>
              <input
                id="seed"
                type="number"
                min={0}
                max={1_000_000_000}
                value={wish.firstSeed}
                onChange={({ currentTarget }) => {
                  if (currentTarget.validity.valid) change({ firstSeed: currentTarget.valueAsNumber });
                }}
              />
              <button type="button" onClick={() => change({ firstSeed: wish.firstSeed + SEEDS_AT_ONCE })}>
                Other seeds
              </button>
            </div>
            <Budget
              choices={choices}
              selected={nearestChoice(choices, wish.budget)}
              probe={state.probe}
              onSelect={({ budget }) => change({ budget })}
            />
            <details class="rule">
              <summary>How the presets were chosen</summary>
              <p>{rule}</p>
            </details>
          </div>
          <section class="stage" aria-label="The candidates">
            {drawing && facts && (
              <>
                <Words words={drawing.words} chosen={word} onChoose={setWord} />
                <Funnel drawing={drawing} totalSteps={facts.totalSteps} />
                <ul class="cards">
                  {drawing.candidates.map((one) => (
                    <Card
                      key={one.seed}
                      candidate={one}
                      facts={facts}
                      word={word}
                      isBest={one.seed === best}
                      showsCompleted={showsCompleted}
                      onOpen={() => setOpened(one.seed)}
                    />
                  ))}
                </ul>
                <div class="row below">
                  <label class="switch">
                    <input
                      type="checkbox"
                      role="switch"
                      checked={showsCompleted}
                      onChange={({ currentTarget }) => setShowsCompleted(currentTarget.checked)}
                    />
                    Show what the dropped ones would have become
                  </label>
                  <span class="note">A word shows its attention, an image its scores.</span>
                </div>
                <AccountView drawing={drawing} totalSteps={facts.totalSteps} />
              </>
            )}
          </section>
        </div>
        <section class="requests" aria-labelledby="requests">
          <h2 id="requests">What was asked, and the answer</h2>
          <RequestView exchanges={drawing?.exchanges ?? []} />
        </section>
      </main>
      {candidate && facts && drawing && (
        <CandidateDialog
          key={candidate.seed}
          candidate={candidate}
          words={drawing.words}
          facts={facts}
          isBest={candidate.seed === best}
          onClose={() => setOpened(undefined)}
        />
      )}
    </>
  );
}

interface WordsProps {
  readonly words: readonly string[];
  readonly chosen: number | undefined;
  readonly onChoose: (word: number | undefined) => void;
}

/** The caption; a word shows where its attention lies. */
function Words({ words, chosen, onChoose }: WordsProps) {
  return (
    <div class="words-bar" role="group" aria-label="Attention to a word">
      {words.map((word, index) => (
        <button
          key={index}
          type="button"
          aria-pressed={index === chosen}
          onClick={() => onChoose(index === chosen ? undefined : index)}
        >
          {word}
        </button>
      ))}
    </div>
  );
}

/** The best of the kept, once they are finished. */
function bestSeed({ candidates }: Drawing): number | undefined {
  const finished = candidates.filter(({ quality }) => quality !== undefined);
  return finished.toSorted((left, right) => right.quality! - left.quality!)[0]?.seed;
}

function Logo() {
  return (
    <svg class="logo" viewBox="0 0 64 64" aria-hidden="true">
      <rect width="64" height="64" rx="12" fill="#14202b" />
      <g fill="#5b7083">
        <circle cx="15" cy="17" r="5" />
        <circle cx="15" cy="32" r="5" fill="#3ecf8e" />
        <circle cx="15" cy="47" r="5" />
      </g>
      <path d="M22 32h18" stroke="#3ecf8e" stroke-width="3" stroke-linecap="round" />
      <path d="M33 10v44" stroke="#e8eef3" stroke-width="3" stroke-linecap="round" stroke-dasharray="1 7" />
      <circle cx="49" cy="32" r="8" fill="#3ecf8e" />
    </svg>
  );
}
