/** A crypt remote of the real rclone over a local folder. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Secrets {
  password: string;
  salt: string;
}

/** rclone's version, or undefined where it isn't installed. */
export function rcloneVersion(): string | undefined {
  try {
    return run(['version']).split('\n')[0];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function run(args: string[], input?: string): string {
  // rclone refuses to start where this names a bundle it can't read.
  const { AWS_CA_BUNDLE: _unused, ...env } = process.env;
  return execFileSync('rclone', args, {
    env,
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** A password as rclone itself obscures it. */
export function rcloneObscure(password: string): string {
  return run(['obscure', '-'], password).trim();
}

export class CryptRemote {
  readonly folder = mkdtempSync(join(tmpdir(), 'crypt-remote-'));
  /** Where the encrypted files lie. */
  readonly stored = join(this.folder, 'stored');
  private readonly config = join(this.folder, 'rclone.conf');

  constructor(
    secrets: Secrets,
    filenameEncryption: boolean,
    obscure: (password: string) => string = rcloneObscure,
  ) {
    mkdirSync(this.stored);
    const lines = [
      '[crypt]',
      'type = crypt',
      `remote = ${this.stored}`,
      `filename_encryption = ${filenameEncryption ? 'standard' : 'off'}`,
      `password = ${obscure(secrets.password)}`,
    ];
    if (secrets.salt !== '') lines.push(`password2 = ${obscure(secrets.salt)}`);
    writeFileSync(this.config, `${lines.join('\n')}\n`);
  }

  run(args: string[]): string {
    return run(['--config', this.config, ...args]);
  }

  /** Stored paths of plain paths, by rclone cryptdecode, which takes ten at once. */
  encryptNames(plain: readonly string[]): string[] {
    return this.decode(plain, ['--reverse']);
  }

  /** Plain paths of stored ones; 'Failed to decrypt' where rclone can't. */
  decryptNames(stored: readonly string[]): string[] {
    return this.decode(stored, []);
  }

  private decode(names: readonly string[], flags: string[]): string[] {
    const results: string[] = [];
    for (let start = 0; start < names.length; start += 10) {
      const some = names.slice(start, start + 10);
      const lines = this.run(['cryptdecode', ...flags, 'crypt:', '--', ...some]).split('\n');
      for (const [index, name] of some.entries()) {
        const line = lines[index]!;
        if (!line.startsWith(`${name} \t `)) throw new Error(`Unexpected line of rclone: ${line}`);
        results.push(line.slice(name.length + 3));
      }
    }
    return results;
  }

  /** Encrypts `from`, a local file or folder, into the remote at `to`. */
  store(from: string, to: string): void {
    this.run(['copyto', from, `crypt:${to}`]);
  }

  /** Decrypts the remote's `from` into a local file. */
  fetch(from: string): Buffer {
    const target = join(this.folder, 'fetched');
    this.run(['copyto', `crypt:${from}`, target]);
    const bytes = readFileSync(target);
    rmSync(target);
    return bytes;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
