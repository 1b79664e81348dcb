// The npm project itself: what is installed is what was looked at.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';

const read = (file) => readFileSync(join(import.meta.dirname, file), 'utf8');

describe('the npm project', () => {
  const project = JSON.parse(read('package.json'));
  const lock = JSON.parse(read('package-lock.json'));
  const packages = Object.entries(lock.packages).filter(([path]) => path !== '');

  test('pins exact versions', () => {
    for (const [name, version] of Object.entries({ ...project.devDependencies, ...project.overrides })) {
      assert.match(version, /^\d+\.\d+\.\d+$/, name);
    }
    assert.equal(project.dependencies, undefined);
  });
  test('names no registry, and a hash for each package', () => {
    for (const [path, entry] of packages) {
      assert.equal(entry.resolved, undefined, path);
      assert.match(entry.integrity, /^sha512-/, path);
      assert.match(entry.version, /^\d+\.\d+\.\d+/, path);
    }
  });
  test('runs nothing at install time', () => {
    assert.deepEqual(packages.filter(([, entry]) => entry.hasInstallScript).map(([path]) => path), []);
    assert.match(read('.npmrc'), /^ignore-scripts=true$/m);
  });
});
