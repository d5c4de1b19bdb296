/** What went wrong below HTTP, in words: names, connections, certificates. */

import { CloudSyncError, type ErrorCode } from '../../errors.js';

const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENETDOWN',
  'EHOSTDOWN',
  'EADDRNOTAVAIL',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);
const CERTIFICATE =
  /^(CERT_|CRL_|ERR_TLS_|ERR_SSL_|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|EPROTO)/;

/** A failure of the network under a request to `origin`, by meaning. */
export function transportError(error: unknown, origin: string): CloudSyncError {
  if (error instanceof CloudSyncError) return error;
  const { code, message } = rootOf(error);
  const host = new URL(origin).host;
  const make = (ours: ErrorCode, text: string, advice?: string) =>
    new CloudSyncError(ours, text, { cause: error, ...(advice === undefined ? {} : { advice }) });

  const refusedByProxy = /Proxy response \((\d+)\)/.exec(message)?.[1];
  if (refusedByProxy !== undefined) return proxyRefusal(Number(refusedByProxy), host, error);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN' || code === 'EAI_FAIL') {
    return make(
      'ENDPOINT_UNREACHABLE',
      `The name ${host} can't be resolved`,
      'Check how the endpoint is written, and whether this machine has a network and a working DNS.',
    );
  }
  if (UNREACHABLE.has(code)) {
    const reason = code === 'ECONNREFUSED' ? 'refuses the connection' : "can't be reached";
    return make(
      'ENDPOINT_UNREACHABLE',
      `${host} ${reason} (${code})`,
      'Check host and port of the endpoint, that the server runs, and firewalls and proxies between.',
    );
  }
  if (CERTIFICATE.test(code)) return tlsFailure(code, message, host, error);
  if (code.startsWith('HPE_') || code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') {
    return make(
      'BAD_ANSWER',
      `${host} does not answer in HTTP (${code})`,
      'Check port and http:// or https:// of the endpoint.',
    );
  }
  if (code === 'UND_ERR_INVALID_ARG') {
    return make('INTERNAL', `The request can't be sent: ${message}`);
  }
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return make('BAD_ANSWER', `${host} answers with too many headers`);
  const hint = 'If the server speaks HTTPS on this port, write https:// in front of the endpoint.';
  const isPlain = origin.startsWith('http:');
  return make(
    'CONNECTION_LOST',
    `The connection to ${host} broke (${code || message})`,
    isPlain ? hint : undefined,
  );
}

/** What a proxy answers to CONNECT instead of opening the tunnel. */
function proxyRefusal(status: number, host: string, cause: unknown): CloudSyncError {
  if (status === 407) {
    return new CloudSyncError('ENDPOINT_UNREACHABLE', 'The proxy wants a user name and a password', {
      httpStatus: status,
      retryable: false,
      cause,
      advice: 'Write them into HTTPS_PROXY: http://user:password@proxy:port.',
    });
  }
  return new CloudSyncError('ENDPOINT_UNREACHABLE', `The proxy does not connect to ${host} (${status})`, {
    httpStatus: status,
    retryable: status >= 500,
    cause,
    advice: 'Check the proxy, or put the host into NO_PROXY to reach it directly.',
  });
}

function tlsFailure(code: string, message: string, host: string, error: unknown): CloudSyncError {
  const advice =
    code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' || code === 'EPROTO'
      ? 'The server may speak plain HTTP on this port: check http:// or https:// of the endpoint.'
      : code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID'
        ? "Check this machine's clock, and renew the server's certificate if the clock is right."
        : code === 'ERR_TLS_CERT_ALTNAME_INVALID'
          ? 'The certificate is for another host name: write the endpoint with the name in the certificate.'
          : "If the server's certificate comes from a private authority, paste that authority's certificate (PEM).";
  const isTrust = advice.includes('paste');
  return new CloudSyncError('TLS_FAILURE', `No secure connection to ${host}: ${message} (${code})`, {
    cause: error,
    advice,
    field: isTrust ? 'caCertificate' : 'endpoint',
  });
}

/** Code and message of the error at the bottom: undici and Node wrap them, once per address tried. */
function rootOf(error: unknown): { code: string; message: string } {
  let current = error;
  for (let depth = 0; depth < 5; depth += 1) {
    if (current instanceof AggregateError && current.errors.length > 0) current = current.errors[0];
    else if (current instanceof Error && current.cause instanceof Error && !hasOwnCode(current))
      current = current.cause;
    else break;
  }
  if (!(current instanceof Error)) return { code: '', message: String(current) };
  const code = (current as NodeJS.ErrnoException).code;
  return { code: typeof code === 'string' ? code : '', message: current.message };
}

/** UND_ERR_SOCKET only says that something happened to the socket; its cause says what. */
function hasOwnCode(error: Error): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return typeof code === 'string' && code !== 'UND_ERR_SOCKET' && code !== 'UND_ERR_ABORTED';
}
