/**
 * The server as a program:
 * `node --import tsx test/servers/s3/main.ts --port 9000 --access-key KEY --secret-key SECRET --bucket NAME --latency 30`
 * Prints one line of JSON when it is ready: `{"url":...,"port":...}`. Ends on SIGTERM, SIGINT or when its standard input closes
 * with `--until-stdin-closes`.
 */
import { parseArgs } from 'node:util';
import { type S3ServerOptions, startS3Server } from './server.js';

const USAGE = `usage: main.ts [--port N] [--host H] [--region R] [--access-key K] [--secret-key S] [--bucket B]...
  [--versioned-bucket B]... [--latency MS] [--bandwidth BYTES_PER_SECOND] [--in-memory BYTES] [--until-stdin-closes]`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '0' },
      host: { type: 'string' },
      region: { type: 'string' },
      'access-key': { type: 'string' },
      'secret-key': { type: 'string' },
      bucket: { type: 'string', multiple: true, default: [] },
      'versioned-bucket': { type: 'string', multiple: true, default: [] },
      latency: { type: 'string', default: '0' },
      bandwidth: { type: 'string', default: '0' },
      'in-memory': { type: 'string' },
      'until-stdin-closes': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const options: S3ServerOptions = {
    port: Number(values.port),
    latencyMs: Number(values.latency),
    logLimit: 0,
    buckets: [
      ...values.bucket,
      ...values['versioned-bucket'].map((name) => ({ name, versioning: 'Enabled' as const })),
    ],
    ...(values.host === undefined ? {} : { host: values.host }),
    ...(values.region === undefined ? {} : { region: values.region }),
    ...(values['access-key'] === undefined ? {} : { accessKeyId: values['access-key'] }),
    ...(values['secret-key'] === undefined ? {} : { secretAccessKey: values['secret-key'] }),
    ...(values['in-memory'] === undefined ? {} : { inMemoryBytes: Number(values['in-memory']) }),
  };
  const server = await startS3Server(options);
  server.network.bandwidth = Number(values.bandwidth);
  console.log(JSON.stringify({ url: server.url, port: server.port }));
  const end = () => {
    server.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    );
  };
  process.once('SIGTERM', end);
  process.once('SIGINT', end);
  if (values['until-stdin-closes']) process.stdin.once('end', end).resume();
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  console.error(USAGE);
  process.exit(2);
});
