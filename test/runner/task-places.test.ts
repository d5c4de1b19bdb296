import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rememberTaskPlace, type TaskPlace, tasksInside } from '../../src/runner/task-places.js';

describe('places of tasks', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cloud-sync-places-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const place = (nodeId: string, prefix: string, store = 's3://host/bucket'): TaskPlace => ({
    nodeId,
    task: `Task ${nodeId}`,
    store,
    prefix,
  });

  it('are found where they lie in a prefix, or are the same', () => {
    for (const one of [
      place('a', 'photos/'),
      place('b', 'photos/raw/'),
      place('c', 'photos2/'),
      place('d', 'photos/', 's3://host/other'),
    ]) {
      rememberTaskPlace(join(folder, one.nodeId), one);
    }
    const inside = (one: TaskPlace, deployed?: string[]) =>
      tasksInside(one, folder, deployed).map(({ nodeId }) => nodeId);
    assert.deepEqual(inside(place('a', 'photos/')), ['b']);
    assert.deepEqual(inside(place('new', 'photos/')), ['a', 'b']);
    assert.deepEqual(inside(place('new', '')), ['a', 'b', 'c']);
    assert.deepEqual(inside(place('b', 'photos/raw/')), []);
    assert.deepEqual(inside(place('new', ''), ['c']), ['c']);
    assert.deepEqual(tasksInside(place('x', ''), join(folder, 'missing'), undefined), []);
  });
});
