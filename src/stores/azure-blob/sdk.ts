/**
 * Azure's own SDK for what is rare: containers and tiers. It makes the requests and reads the answers; the transport signs,
 * counts, sends and repeats them and translates errors. It takes half a second and 39 MB to load (measured), so that no
 * ordinary run needs it.
 */

import { Readable } from 'node:stream';
import type * as AzureSdk from '@azure/storage-blob';
import type { AzureRequest, AzureTransport } from './transport.js';

type Sdk = typeof AzureSdk;

export class AzureClients {
  readonly #transport: AzureTransport;
  #loaded: Promise<{ sdk: Sdk; service: AzureSdk.BlobServiceClient }> | undefined;

  constructor(transport: AzureTransport) {
    this.#transport = transport;
  }

  async service(): Promise<AzureSdk.BlobServiceClient> {
    return (await this.#load()).service;
  }

  async container(bucket: string): Promise<AzureSdk.ContainerClient> {
    return (await this.service()).getContainerClient(bucket);
  }

  async blob(bucket: string, key: string): Promise<AzureSdk.BlockBlobClient> {
    return (await this.container(bucket)).getBlockBlobClient(key);
  }

  #load(): Promise<{ sdk: Sdk; service: AzureSdk.BlobServiceClient }> {
    this.#loaded ??= this.#open();
    return this.#loaded;
  }

  async #open(): Promise<{ sdk: Sdk; service: AzureSdk.BlobServiceClient }> {
    const sdk = await import('@azure/storage-blob');
    const { origin, basePath } = this.#transport.credential;
    const pipeline = sdk.newPipeline(new sdk.AnonymousCredential(), {
      httpClient: new SdkHttpClient(this.#transport),
      // One policy of repeating is enough: the transport's.
      retryOptions: { maxTries: 1 },
    });
    return { sdk, service: new sdk.BlobServiceClient(origin + basePath, pipeline) };
  }
}

/** What the SDK sends its requests with. */
class SdkHttpClient implements AzureSdk.IHttpClient {
  readonly #transport: AzureTransport;

  constructor(transport: AzureTransport) {
    this.#transport = transport;
  }

  async sendRequest(request: AzureSdk.WebResource): Promise<AzureSdk.HttpOperationResponse> {
    const answer = await this.#transport.send(this.#translate(request));
    const headers = request.headers.clone();
    for (const name of headers.headerNames()) headers.remove(name);
    for (const [name, value] of Object.entries(answer.headers)) {
      if (value !== undefined) headers.set(name, value);
    }
    const asStream = request.streamResponseStatusCodes?.has(answer.status) === true;
    return {
      request,
      status: answer.status,
      headers,
      ...(asStream
        ? { readableStreamBody: Readable.from([answer.body]) }
        : { bodyAsText: answer.body.toString('utf8') }),
    };
  }

  #translate(request: AzureSdk.WebResource): AzureRequest {
    const url = new URL(request.url);
    const path = url.pathname.slice(this.#transport.credential.basePath.length);
    const [bucket = '', ...rest] = path.slice(1).split('/').map(decodeURIComponent);
    const headers: Record<string, string> = {};
    for (const { name, value } of request.headers.headersArray()) headers[name.toLowerCase()] = value;
    // Set anew for the body that is sent.
    delete headers['content-length'];
    const method = request.method as AzureRequest['method'];
    const translated: AzureRequest = {
      kind: url.searchParams.get('comp') === 'list' ? 'LIST' : method,
      method,
      path: path === '' ? '/' : path,
      query: Object.fromEntries(url.searchParams),
      headers,
    };
    if (bucket !== '') translated.bucket = bucket;
    if (rest.length > 0) translated.key = rest.join('/');
    if (request.abortSignal !== undefined) translated.signal = request.abortSignal as AbortSignal;
    const { body } = request;
    if (typeof body === 'string') translated.body = Buffer.from(body, 'utf8');
    else if (body instanceof Uint8Array) translated.body = body;
    return translated;
  }
}
