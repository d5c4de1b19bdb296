import assert from 'node:assert/strict';
import { runInNewContext } from 'node:vm';
import {
  type Evaluate,
  evaluateTypedInputs,
  NoValueError,
  TYPED_RESTORE_PROPERTIES,
  TYPED_TASK_PROPERTIES,
} from '../../nodes/typed-inputs.js';

const ALL = [...new Set([...TYPED_TASK_PROPERTIES, ...TYPED_RESTORE_PROPERTIES])];

function giving(value: unknown): Evaluate {
  return () => Promise.resolve(value);
}

/** The property as it comes out where `value` is what the flow gives. */
async function evaluated(name: string, value: unknown): Promise<unknown> {
  const saved: Record<string, unknown> = { [name]: 'wanted', [`${name}Type`]: 'msg' };
  return (await evaluateTypedInputs(saved, ALL, undefined, giving(value)))[name];
}

describe('typed inputs', () => {
  it('leave a node without types as it is', async () => {
    const saved = { path: '/srv', include: ['*.jpg'], pathType: 'str', folderType: '' };
    const never: Evaluate = () => assert.fail('nothing to evaluate');
    assert.deepEqual(await evaluateTypedInputs(saved, ALL, undefined, never), saved);
  });

  it('ask for the text with its type', async () => {
    const asked: string[] = [];
    const saved = { path: ' library.path ', pathType: 'flow', bucket: 'BUCKET', bucketType: 'env' };
    const values = await evaluateTypedInputs(saved, ALL, undefined, async (text, type) => {
      asked.push(`${type} ${text}`);
      return `/${text}`;
    });
    assert.deepEqual(asked, ['flow library.path', 'env BUCKET']);
    assert.equal(values.path, '/library.path');
  });

  it('take lists of patterns, or a text with one per line', async () => {
    assert.deepEqual(await evaluated('include', ['*.jpg']), ['*.jpg']);
    assert.deepEqual(await evaluated('exclude', '*.tmp\r\n\n/cache/**\n'), ['*.tmp', '/cache/**']);
    assert.deepEqual(await evaluated('exclude', []), []);
  });

  it('take speeds as rows or as rclone writes them', async () => {
    const rows = [
      { time: '08:00', bandwidth: 524_288 },
      { time: '23:00', bandwidth: null },
    ];
    assert.deepEqual(await evaluated('bandwidthLimit', rows), rows);
    assert.deepEqual(await evaluated('bandwidthLimit', '08:00,512k 23:00,off'), rows);
    await assert.rejects(evaluated('bandwidthLimit', '23:00,1M 08:00,off'), { field: 'bandwidthLimit' });
  });

  it('take a moment as text, number or date, also one of a function node', async () => {
    const iso = '2025-03-01T12:00:00.000Z';
    assert.equal(await evaluated('asOf', '2025-03-01'), '2025-03-01');
    assert.equal(await evaluated('asOf', Date.parse(iso)), iso);
    assert.equal(await evaluated('asOf', runInNewContext(`new Date('${iso}')`)), iso);
  });

  for (const name of ['path', 'bucket', 'folder', 'include', 'exclude', 'bandwidthLimit', 'asOf']) {
    it(`never take a missing ${name} for everything`, async () => {
      for (const nothing of [undefined, null, '', '  ']) {
        await assert.rejects(evaluated(name, nothing), (error) => {
          assert.ok(error instanceof NoValueError);
          assert.equal(error.field, name);
          assert.equal(error.message, `${name} comes from msg.wanted, which is empty`);
          return true;
        });
      }
    });
  }

  it('take a list without a pattern for no list of what to take', async () => {
    for (const list of [[], ['', ' ']])
      await assert.rejects(evaluated('include', list), { field: 'include' });
  });

  it('say what can not be evaluated, and what has no source or an unknown type', async () => {
    const evaluate: Evaluate = () => Promise.reject(new Error('Unexpected token'));
    const run = (saved: Record<string, unknown>) => evaluateTypedInputs(saved, ALL, undefined, evaluate);
    await assert.rejects(run({ path: '$x(', pathType: 'jsonata' }), {
      field: 'path',
      message: /path comes from the expression "\$x\(", which can't be evaluated: Unexpected token/,
    });
    await assert.rejects(run({ path: '', pathType: 'env' }), { code: 'INVALID_INPUT', field: 'path' });
    await assert.rejects(run({ path: 'x', pathType: 'date' }), { field: 'pathType', message: /"date"/ });
  });

  it('need no value where the message overrides it', async () => {
    const saved = { folder: 'wanted', folderType: 'msg' };
    const values = await evaluateTypedInputs(saved, ALL, { folder: 'photos' }, giving(undefined));
    assert.equal(values.folder, undefined);
    // What is not set overrides nothing.
    await assert.rejects(evaluateTypedInputs(saved, ALL, { folder: undefined }, giving(undefined)), {
      field: 'folder',
    });
  });
});
