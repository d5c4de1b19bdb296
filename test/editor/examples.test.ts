import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Workbench } from './workbench.js';

type FlowNode = { id: string; type: string; z?: string; credential?: string; task?: string };

describe('the examples in the import dialog', function () {
  this.timeout(180_000);
  let bench: Workbench;

  before(async () => {
    bench = await Workbench.start();
  });
  after(() => bench?.stop());
  afterEach(() => bench.close());

  /** As a user does it; ends when the flow is deployed. */
  async function importExample(name: string): Promise<void> {
    const { page } = bench;
    await page.evaluate("RED.actions.invoke('core:show-examples-import-dialog')");
    const tree = page.locator(
      '.red-ui-clipboard-dialog-tabs-content .red-ui-treeList, .red-ui-library-browser',
    );
    await tree.getByText('@cloud-sync/node-red-cloud-sync').first().click();
    await tree.getByText(name, { exact: true }).first().click();
    await page.locator('#red-ui-clipboard-dialog-ok').click();
    await page.waitForFunction('RED.nodes.dirty()');
    await bench.deploy();
  }

  for (const file of readdirSync('examples').filter((name) => name.endsWith('.json'))) {
    const name = file.slice(0, -'.json'.length);
    it(`hold "${name}", which deploys without an error`, async () => {
      const page = await bench.open([]);
      const before = bench.nodeRed.output().length;
      await importExample(name);
      // Only what has to come from the user is missing: no node is broken by itself.
      const faulty = (await page.evaluate(`(() => {
        const faulty = [];
        RED.nodes.eachNode((node) => { if (!node.valid) faulty.push(node.type + ' ' + JSON.stringify(node.validationErrors)); });
        return faulty;
      })()`)) as string[];
      assert.deepEqual(faulty, []);
      const { flows } = await bench.nodeRed.request<{ flows: FlowNode[] }>('GET', 'flows');
      const saved = JSON.parse(readFileSync(join('examples', file), 'utf8')) as FlowNode[];
      const typesOf = (nodes: FlowNode[]) =>
        nodes
          .filter(({ id }) => id !== 'flow')
          .map(({ type }) => type)
          .sort();
      assert.deepEqual(typesOf(flows), typesOf(saved));
      const ids = new Set(flows.map(({ id }) => id));
      for (const { type, credential, task } of flows) {
        for (const reference of [credential, task]) {
          if (reference !== undefined && reference !== '')
            assert.ok(ids.has(reference), `${type} refers to nothing`);
        }
      }
      assert.doesNotMatch(bench.nodeRed.output().slice(before), /\[(error|warn)\]|missing types/i);
      assert.deepEqual(bench.faults, []);
    });
  }
});
