/** An image of a candidate, with the attention to a word over it. */
import { useLayoutEffect, useRef } from 'preact/hooks';

import type { Facts } from '../messages.js';
import { toShade } from '../pixels.js';
import type { Candidate, Pixels } from './state.js';

interface PictureProps {
  readonly candidate: Pick<Candidate, 'pixels' | 'maps'>;
  readonly facts: Facts;
  /** The place of the word in the caption; undefined: no map is shown. */
  readonly word: number | undefined;
}

export function Picture({ candidate: { pixels, maps }, facts, word }: PictureProps) {
  const { side, mapWidth, mapHeight } = facts;
  const shade = maps && word !== undefined ? toShade(maps, word, mapWidth * mapHeight) : undefined;
  return (
    <span class="picture">
      <Pixmap pixels={pixels} width={side} height={side} />
      {shade && <Pixmap pixels={shade} width={mapWidth} height={mapHeight} />}
    </span>
  );
}

function Pixmap({ pixels, width, height }: { pixels: Pixels; width: number; height: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    canvas.current?.getContext('2d')?.putImageData(new ImageData(pixels, width, height), 0, 0);
  }, [pixels, width, height]);
  return <canvas ref={canvas} width={width} height={height} aria-hidden="true" />;
}
