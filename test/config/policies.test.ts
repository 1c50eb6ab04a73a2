/** Tests how a policies file is read, and that mistakes are refused with their place. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  DEFAULT_POLICIES,
  foreignActionFor,
  parsePolicies,
  policyFor,
  type PolicyRule,
  ruleFor,
} from '../../src/config/policies.js';

const FILE = JSON.stringify({
  default: { policy: { name: 'score_only' } },
  models: { pictogram: { policy: { name: 'top_k', k: 2, min_keep: 1 }, allow_override: false } },
});

test('a probe has its own rule, else the default rule, else the shipped rule', () => {
  const policies = parsePolicies(FILE);
  assert.deepEqual(ruleFor(policies, 'pictogram'), {
    policy: { name: 'top_k', k: 2, min_keep: 1 },
    allow_override: false,
  });
  assert.deepEqual(ruleFor(policies, 'other'), { policy: { name: 'score_only' }, allow_override: true });
  assert.deepEqual(policyFor(parsePolicies('{}'), 'other'), { name: 'max_false_drop', alpha: 0.05 });
  assert.deepEqual(policyFor(DEFAULT_POLICIES, 'other'), { name: 'max_false_drop', alpha: 0.05 });
});

test('a probe may have the name of a property of every object', () => {
  for (const name of ['constructor', 'tostring', 'valueOf'])
    assert.deepEqual(policyFor(parsePolicies(FILE), name), { name: 'score_only' });
});

test('of the paths that fit a difference the longest decides, at the ends of names only', () => {
  const rule = (on_foreign_conditions: PolicyRule['on_foreign_conditions']): PolicyRule => ({
    policy: { name: 'score_only' },
    allow_override: true,
    on_foreign_conditions,
  });
  const paths = rule({ '*': 'ignore', call: 'keep', 'call.eta': 'warn' });
  for (const [path, action] of [
    ['call', 'keep'],
    ['call.eta', 'warn'],
    ['call.eta.x', 'warn'],
    ['call.etas', 'keep'],
    ['caller', 'ignore'],
    [undefined, 'ignore'],
  ] as const)
    assert.equal(foreignActionFor(paths, path), action, path);
  assert.equal(foreignActionFor(rule(undefined), 'dtype'), 'warn');
  assert.equal(foreignActionFor(rule({ call: 'keep' }), 'dtype'), 'warn');
  assert.equal(foreignActionFor(rule({}), 'constructor'), 'warn');
  assert.equal(foreignActionFor(rule('keep')), 'keep');
});

test('mistakes are refused with their place', () => {
  for (const [text, place] of [
    ['', /not valid JSON/],
    ['[]', /^the file: /],
    ['{"defaults": {}}', /Unrecognized key: "defaults"/],
    ['{"default": {}}', /^default\.policy: /],
    ['{"default": {"policy": {"name": "top_k"}}}', /^default\.policy\.k: /],
    ['{"models": {"a": {"policy": {"name": "top_k", "k": 0}}}}', /^models\.a\.policy\.k: /],
    [
      '{"models": {"a": {"policy": {"name": "score_only"}, "allow_override": 1}}}',
      /^models\.a\.allow_override: /,
    ],
    [
      '{"default": {"policy": {"name": "score_only"}, "on_foreign_conditions": "stop"}}',
      /^default\.on_foreign_conditions: must be keep, warn, ignore, or an object/,
    ],
    ['{"models": {"a": {"policy": {"name": "score_only"}}, "a": {}}}', /occurs twice/],
  ] as const) {
    assert.throws(() => parsePolicies(text), { message: place }, text);
  }
});
