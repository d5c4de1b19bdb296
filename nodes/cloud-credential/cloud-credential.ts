import type { Node, NodeAPI, NodeDef } from 'node-red';
import { CREDENTIAL_SECRETS } from '../runtime.js';
import { addCredentialRoutes } from './admin.js';

export = (RED: NodeAPI): void => {
  function CloudCredential(this: Node & { saved?: NodeDef }, definition: NodeDef): void {
    RED.nodes.createNode(this, definition);
    this.saved = definition;
  }
  RED.nodes.registerType('cloud-credential', CloudCredential, { credentials: CREDENTIAL_SECRETS });
  addCredentialRoutes(RED);
};
