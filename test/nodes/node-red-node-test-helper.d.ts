/** What our tests use of node-red-node-test-helper, which comes without types. */
declare module 'node-red-node-test-helper' {
  import type { Server } from 'node:http';
  import type { Node, NodeInitializer } from 'node-red';

  interface Helper {
    init(runtimePath: string, settings?: object): void;
    settings(settings: object): object;
    startServer(): Promise<void>;
    stopServer(): Promise<void>;
    load(nodes: NodeInitializer[], flow: object[], credentials?: object): Promise<void>;
    setFlows(flow: object[], type?: 'full' | 'flows' | 'nodes', credentials?: object): Promise<void>;
    unload(): Promise<void>;
    getNode(id: string): Node | null | undefined;
    log(): { args: unknown[][] };
    url(): string;
    readonly _server: Server;
    readonly _httpAdmin: unknown;
  }
  const helper: Helper;
  export default helper;
}
