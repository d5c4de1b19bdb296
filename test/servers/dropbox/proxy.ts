/**
 * The Dropbox server under Dropbox's own addresses, for clients that can't be told another one: a proxy (`HTTPS_PROXY`)
 * that leads every connection to `*.dropboxapi.com` to the server on this machine, and no other connection anywhere.
 */

import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** For *.dropboxapi.com, valid from 2020 to 2120. For tests only: the key is public. */
export const DROPBOX_TEST_CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBmDCCAT2gAwIBAgIBATAKBggqhkjOPQQDAjAtMSswKQYDVQQDDCJUZXN0IGNl
cnRpZmljYXRlIG9mIGRyb3Bib3hhcGkuY29tMCAXDTIwMDEwMTAwMDAwMFoYDzIx
MjAwMTAxMDAwMDAwWjAtMSswKQYDVQQDDCJUZXN0IGNlcnRpZmljYXRlIG9mIGRy
b3Bib3hhcGkuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE69HFTcq0dKkF
WV5kXH2A1A7eSgUGhVNbXN8kTtincxnCZcChRPW5YWl6IM+Na6i/avz4ynxF/Nqh
diXkzjXZ3qNMMEowDAYDVR0TBAUwAwEB/zAbBgNVHREEFDASghAqLmRyb3Bib3hh
cGkuY29tMB0GA1UdDgQWBBRPzDD7CRpART4dEASGFiJJXPStODAKBggqhkjOPQQD
AgNJADBGAiEAy70wWjMPl0Gt7sFSlKx63vFluylo4YcSwNV7X0n1gUQCIQCrKLiV
QH6qrMDqKpvMzMcb81GwEif6O0y/ryY6WxD8cA==
-----END CERTIFICATE-----`;

const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgW/b63RyAgMQBafvX
w31kObwO9R9ZMs5tNubGA25CmwihRANCAATr0cVNyrR0qQVZXmRcfYDUDt5KBQaF
U1tc3yRO2KdzGcJlwKFE9blhaXogz41rqL9q/PjKfEX82qF2JeTONdne
-----END PRIVATE KEY-----`;

export interface DropboxProxy {
  /** `http://127.0.0.1:PORT`. */
  url: string;
  stop(): Promise<void>;
}

/** Leads to the server at `target`, `http://127.0.0.1:PORT`. */
export async function startDropboxProxy(target: string): Promise<DropboxProxy> {
  const secure = createHttpsServer(
    { cert: DROPBOX_TEST_CERTIFICATE, key: KEY, maxHeaderSize: 65_536 },
    (incoming, answer) => forward(target, incoming, answer),
  );
  await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
  const { port: securePort } = secure.address() as AddressInfo;
  const sockets = new Set<Socket>();
  const proxy = createServer((_request, answer) => answer.writeHead(405).end());
  proxy.on('connect', ({ url = '' }: IncomingMessage, client: Socket, head: Buffer) => {
    if (!/^[a-z]+\.dropboxapi\.com:443$/.test(url)) {
      client.end('HTTP/1.1 403 Forbidden\r\n\r\n');
      return;
    }
    const upstream = connect(securePort, '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      client.pipe(upstream).pipe(client);
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => sockets.delete(socket));
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await Promise.all([proxy, secure].map((server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

function forward(target: string, incoming: IncomingMessage, answer: ServerResponse): void {
  const { method, headers } = incoming;
  // dropbox-sdk-go, and with it rclone, asks for tokens under the address of the first version of the interface.
  const url = incoming.url?.replace(/^\/1\/oauth2\/token$/, '/oauth2/token');
  const outgoing = httpRequest(`${target}${url}`, { method, headers }, (response) => {
    answer.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(answer);
  });
  outgoing.on('error', () => answer.destroy());
  incoming.pipe(outgoing);
}
