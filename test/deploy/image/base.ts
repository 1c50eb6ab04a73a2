/**
 * Owns what stands for the image from elsewhere, node:22-bookworm-slim: Debian's smallest installation by debootstrap, from
 * the mirror that apt uses, and this machine's own Node and npm where that image has them.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { must } from './build.js';

const SUITE = 'bookworm';
const DONE = '.complete';

/** Makes it in this folder; nothing happens where it is there already. */
export function makeBase(folder: string, tell: (line: string) => void): void {
  if (existsSync(path.join(folder, DONE))) return;
  tell(`debootstrap ${SUITE} from ${mirror()}`);
  must('debootstrap', ['--variant=minbase', SUITE, folder, mirror()], { ...process.env, ...aptProxy() });
  tell(`Node ${process.version} and its npm`);
  const local = path.join(folder, 'usr', 'local');
  cpSync(realpathSync(process.execPath), path.join(local, 'bin', 'node'));
  const npm = path.join(local, 'lib', 'node_modules', 'npm');
  mkdirSync(path.dirname(npm), { recursive: true });
  cpSync(npmFolder(), npm, { recursive: true });
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', path.join(local, 'bin', 'npm'));
  must('chroot', [folder, 'useradd', '--uid', '1000', '--create-home', 'node']);
  writeFileSync(path.join(folder, DONE), '');
}

function mirror(): string {
  const format = ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages', `Codename: ${SUITE}`];
  const { stdout } = spawnSync('apt-get', format, { encoding: 'utf8' });
  const [uri] = stdout.split('\n');
  if (!uri) throw new Error(`apt has no mirror for ${SUITE}`);
  return uri;
}

/** debootstrap does not read apt's configuration. */
function aptProxy(): Record<string, string> {
  const { stdout } = spawnSync('apt-config', ['shell', 'proxy', 'Acquire::http::Proxy'], {
    encoding: 'utf8',
  });
  const [, proxy = ''] = /^proxy='(.*)'$/m.exec(stdout) ?? [];
  return proxy === '' ? {} : { http_proxy: proxy };
}

function npmFolder(): string {
  const { stdout } = spawnSync('npm', ['root', '--global'], { encoding: 'utf8' });
  return path.join(stdout.trim(), 'npm');
}
