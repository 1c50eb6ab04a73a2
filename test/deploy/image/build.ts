/**
 * Owns how an image is built without a Docker engine: each stage is a folder over the one it is FROM (overlayfs), and the
 * instructions do in it what Docker would do. Must run as root in a mount namespace of its own.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';

import { type Dockerfile, execForm, filledIn, pairsOf, type Stage } from './dockerfile.js';

/** What docker run would start. */
export interface Image {
  /** The root folder. */
  readonly root: string;
  readonly workdir: string;
  readonly user: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly healthcheck: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface BuildOptions {
  readonly dockerfile: Dockerfile;
  /** What COPY without --from copies from. */
  readonly context: string;
  /** Folders that lie over one another, the uppermost first: they stand for every image from elsewhere. */
  readonly base: readonly string[];
  /** An empty folder for the stages. */
  readonly folder: string;
  /** Of every RUN, beside that of the stage: what this machine needs to reach its registry. */
  readonly buildEnvironment: Readonly<Record<string, string>>;
  readonly tell: (line: string) => void;
}

/** Mutable while its stage is built. */
type Building = { -readonly [Key in keyof Image]: Image[Key] } & {
  args: Record<string, string>;
  shell: readonly string[];
  /** What it consists of, the uppermost first: an overlay over overlays would be one too many for Linux. */
  layers: readonly string[];
};

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Builds every stage in order; by their names. @throws {Error} when a step fails, or is none that is known here. */
export function buildImage(options: BuildOptions): ReadonlyMap<string, Image> {
  const built = new Map<string, Building>();
  for (const stage of options.dockerfile.stages) built.set(stage.name, buildStage(stage, built, options));
  return built;
}

function buildStage(stage: Stage, built: ReadonlyMap<string, Building>, options: BuildOptions): Building {
  const { dockerfile, tell } = options;
  const from = filledIn(stage.from, dockerfile.args);
  tell(`FROM ${from} AS ${stage.name}`);
  const parent = built.get(from);
  const image = begin(stage.name, parent, options);
  for (const { name, text } of stage.instructions) {
    tell(`  ${name} ${text}`);
    carryOut(image, name, filledIn(text, { ...image.environment, ...image.args }), built, options);
  }
  return image;
}

function begin(name: string, parent: Building | undefined, { folder, base }: BuildOptions): Building {
  const own = (part: string): string => path.join(folder, name, part);
  for (const part of ['upper', 'work', 'root']) mkdirSync(own(part), { recursive: true });
  const below = parent?.layers ?? base;
  const layers = `lowerdir=${below.join(':')},upperdir=${own('upper')},workdir=${own('work')}`;
  must('mount', ['-t', 'overlay', 'overlay', '-o', layers, own('root')]);
  // As in every container.
  must('mount', ['-t', 'proc', 'proc', path.join(own('root'), 'proc')]);
  return {
    workdir: '/',
    user: '0:0',
    environment: { PATH },
    entrypoint: [],
    healthcheck: [],
    labels: {},
    shell: ['/bin/sh', '-c'],
    ...parent,
    args: {},
    layers: [own('upper'), ...below],
    root: own('root'),
  };
}

function carryOut(
  image: Building,
  name: string,
  text: string,
  built: ReadonlyMap<string, Building>,
  options: BuildOptions,
): void {
  switch (name) {
    case 'ARG':
      image.args = { ...image.args, ...pairsOf(text) };
      return;
    case 'ENV':
      image.environment = { ...image.environment, ...pairsOf(text) };
      return;
    case 'LABEL':
      image.labels = { ...image.labels, ...pairsOf(text) };
      return;
    case 'WORKDIR':
      image.workdir = path.posix.resolve(image.workdir, text);
      mkdirSync(path.join(image.root, image.workdir), { recursive: true });
      return;
    case 'USER':
      image.user = text;
      return;
    case 'SHELL':
      image.shell = execForm(text) ?? [];
      return;
    case 'COPY':
      copy(image, text, built, options);
      return;
    case 'RUN':
      must('chroot', enter(image, [...image.shell, text]), {
        ...image.environment,
        ...options.buildEnvironment,
      });
      return;
    case 'HEALTHCHECK':
      image.healthcheck = execForm(text.slice(text.indexOf('CMD') + 'CMD'.length).trim()) ?? [];
      return;
    case 'ENTRYPOINT':
      image.entrypoint = execForm(text) ?? [];
      return;
    case 'EXPOSE':
      return;
    default:
      throw new Error(`this build knows no ${name}`);
  }
}

/** A folder's content goes into the target; files go under their name where the target is a folder. */
function copy(
  image: Building,
  text: string,
  built: ReadonlyMap<string, Building>,
  { context }: BuildOptions,
) {
  const [, from, rest = ''] = /^(?:--from=(\S+)\s+)?(.*)$/.exec(text) ?? [];
  const source = from === undefined ? context : built.get(from)?.root;
  if (source === undefined) throw new Error(`COPY from ${from}, which is no stage`);
  const parts = rest.split(/\s+/);
  const target = parts.pop() ?? '';
  const place = path.join(image.root, path.posix.resolve(image.workdir, target));
  for (const part of parts) {
    const file = path.join(source, part);
    const isInto = target.endsWith('/') && !statSync(file).isDirectory();
    cpSync(file, isInto ? path.join(place, path.basename(part)) : place, {
      recursive: true,
      verbatimSymlinks: true,
    });
  }
}

/** The parameters of chroot(8) with which a command runs in the image as its user, in its folder. */
export function enter(
  { root, user, workdir }: Pick<Image, 'root' | 'user' | 'workdir'>,
  command: readonly string[],
) {
  return [`--userspec=${user}`, root, '/usr/bin/env', '-C', workdir, ...command];
}

/** @throws {Error} with what it wrote, when it fails. */
export function must(command: string, parameters: readonly string[], environment?: NodeJS.ProcessEnv): void {
  const { error, status, stdout, stderr } = spawnSync(command, parameters, {
    encoding: 'utf8',
    ...(environment && { env: environment }),
  });
  if (error) throw error;
  if (status !== 0)
    throw new Error(`${command} ${parameters.join(' ')} ended with ${status}\n${stdout}${stderr}`);
}
