/** The strict S3 server in a process of its own, told over the channel to its parent what to do. */

import { type S3Server, startS3Server } from '../test/servers/s3/server.js';
import type { FarEndAnswer, FarEndQuestion } from './far-end.js';

function emptyBucket(server: S3Server, name: string): void {
  const bucket = server.objects.bucket(name);
  for (const { key, versions } of [...bucket.keys.values()]) {
    for (const { versionId } of [...versions]) bucket.remove(key, versionId);
  }
  for (const upload of [...bucket.uploads.values()]) bucket.dropUpload(upload);
}

function carryOut(server: S3Server, question: FarEndQuestion): unknown {
  switch (question.type) {
    case 'empty':
      return emptyBucket(server, question.bucket);
    case 'latency':
      server.network.latencyMs = question.ms;
      return undefined;
    case 'take-counts': {
      const counts = { ...server.requests.counts };
      server.requests.reset();
      return counts;
    }
    case 'summary': {
      const { keys, usedBytes } = server.objects.bucket(question.bucket);
      return { objects: [...keys.values()].length, bytes: usedBytes };
    }
  }
}

async function main(): Promise<void> {
  const server = await startS3Server({ logLimit: 0, buckets: process.argv.slice(2) });
  const { url, region, accessKeyId, secretAccessKey } = server;
  process.on('message', (question: FarEndQuestion) => {
    const answer: FarEndAnswer = { id: question.id, value: carryOut(server, question) };
    process.send!(answer);
  });
  const end = () => {
    server.stop().finally(() => process.exit(0));
  };
  process.on('disconnect', end);
  process.on('SIGTERM', end);
  process.send!({ url, region, accessKeyId, secretAccessKey });
}

void main();
