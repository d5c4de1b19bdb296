/**
 * Our S3 server against one that isn't ours: the same requests to it and to Ceph's RADOS gateway, answers compared one by
 * one. What is known to differ stands beside its request with the reason; a difference that is gone is a failure too.
 */
import assert from 'node:assert/strict';
import { type Ceph, startCeph } from './ceph.js';
import { Side, STEPS, type Step, VERSION_STEPS } from './s3/comparison-steps.js';
import { type S3Server, startS3Server } from './s3/server.js';
import type { SignedAnswer } from './s3/signed-request.js';

describe("the S3 server answers as Ceph's RADOS gateway does", function () {
  this.timeout(60_000);
  let ceph: Ceph | undefined;
  let server: S3Server;

  before(async function () {
    ceph = await startCeph();
    if (ceph === undefined) this.skip();
    server = await startS3Server({ inMemoryBytes: 100_000 });
  });

  after(async () => {
    await ceph?.stop();
    await server?.stop();
  });

  for (const [title, steps] of [
    ['objects, listings, multipart uploads', STEPS],
    ['versions', VERSION_STEPS],
  ] as const) {
    it(title, async () => {
      const bucket = (ceph as Ceph).bucketName();
      const ours = new Side(server, bucket);
      const theirs = new Side(ceph as Ceph, bucket);
      const differences: string[] = [];
      for (const step of steps) differences.push(...(await compareStep(step, ours, theirs)));
      assert.deepEqual(differences, []);
    });
  }
});

async function compareStep(step: Step, ours: Side, theirs: Side): Promise<string[]> {
  const [mine, other] = (await Promise.all([ours, theirs].map((side) => side.send(step.request)))) as [
    SignedAnswer,
    SignedAnswer,
  ];
  remember(step, ours, mine);
  remember(step, theirs, other);
  const [myFacts, otherFacts] = [factsOf(step, mine), factsOf(step, other)];
  const differences: string[] = [];
  for (const [what, value] of myFacts) {
    const known = step.differs?.find((difference) => difference.what === what);
    const expectation = known === undefined ? value : known.ceph;
    if (known !== undefined && known.ours !== value) {
      differences.push(`${step.name}: ${what} is ${short(value)} here, not ${known.ours} as listed`);
    }
    if (otherFacts.get(what) !== expectation) {
      differences.push(
        `${step.name}: ${what} is ${short(value)} here, ${short(otherFacts.get(what))} at Ceph`,
      );
    }
  }
  return differences;
}

function remember(step: Step, side: Side, answer: SignedAnswer): void {
  if (step.remember === undefined) return;
  const { name, element, header } = step.remember;
  const value = element === undefined ? answer.headers[header ?? ''] : textsOf(answer, element)[0];
  if (value !== undefined) side.remembered.set(name, String(value));
}

/** Texts of an element; ETags without their quotes, which Ceph leaves out here and there and every client takes off. */
function textsOf(answer: SignedAnswer, element: string): string[] {
  const found = answer.body
    .toString()
    .matchAll(new RegExp(`<${element}(?: [^>]*)?(?:/>|>([^<]*)</${element}>)`, 'g'));
  const texts = [...found].map((match) => unescapeXml(match[1] ?? ''));
  return element === 'ETag' ? texts.map((text) => text.replaceAll('"', '')) : texts;
}

function unescapeXml(text: string): string {
  const named: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (_, hex?: string, decimal?: string, name?: string) =>
      name === undefined
        ? String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16))
        : (named[name] ?? `?${name}?`),
  );
}

/** What is compared of an answer. */
function factsOf(step: Step, answer: SignedAnswer): Map<string, string> {
  const facts = new Map<string, string>([
    ['status', String(answer.status)],
    ['code', String(answer.code)],
  ]);
  for (const name of step.headers ?? []) facts.set(name, String(answer.headers[name]));
  for (const name of step.elements ?? []) {
    let texts = textsOf(answer, name);
    if (step.urlDecoded) texts = texts.map((text) => decodeURIComponent(text.replaceAll('+', ' ')));
    if (step.unordered) texts.sort();
    facts.set(`<${name}>`, texts.join(' | '));
  }
  if (step.bytes && answer.status < 300) facts.set('bytes', answer.body.toString('base64').slice(0, 200));
  return facts;
}

function short(text = ''): string {
  return text.replace(/(.)\1{20,}/g, '$1...').slice(0, 300);
}
