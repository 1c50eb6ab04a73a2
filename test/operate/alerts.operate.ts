/** Checks the rules with promtool, and that every alert is documented and tested. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';

import { parse } from 'yaml';

import { readDashboards } from './panels.js';

const RULES = path.join('docker', 'prometheus', 'rules');
const TESTS = ['alerts.test.yml', 'alerts-by-day.test.yml'].map((file) => path.join('test', 'operate', file));

interface AlertRule {
  readonly alert: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

function promtool(...parameters: string[]): void {
  const { error, status, stdout, stderr } = spawnSync('promtool', parameters, { encoding: 'utf8' });
  assert.ok(!error, 'promtool is missing: install the Debian package prometheus');
  assert.equal(status, 0, `${stdout}${stderr}`);
}

function alerts(): AlertRule[] {
  return readdirSync(RULES).flatMap((file) => {
    const content = parse(readFileSync(path.join(RULES, file), 'utf8')) as { groups: { rules: object[] }[] };
    return content.groups.flatMap(({ rules }) => rules.filter((rule): rule is AlertRule => 'alert' in rule));
  });
}

test('promtool check config, rules included', () => {
  promtool('check', 'config', path.join('docker', 'prometheus', 'prometheus.yml'));
});

for (const file of TESTS) test(`promtool test rules ${file}`, () => promtool('test', 'rules', file));

test('every alert has a description, a runbook and a panel that links to the runbook, and is tested both firing and not firing', () => {
  interface Case {
    readonly alertname: string;
    readonly exp_alerts: readonly object[];
  }
  const cases = TESTS.flatMap((file) => {
    const content = parse(readFileSync(file, 'utf8')) as { tests: { alert_rule_test?: Case[] }[] };
    return content.tests.flatMap(({ alert_rule_test: ownCases = [] }) => ownCases);
  });
  /** `dashboard_url alert` of every panel that links to an alert's runbook. */
  const panelLinks = new Set(
    [...readDashboards().values()].flatMap(({ uid, panels }) =>
      panels.flatMap(({ id, links = [] }) =>
        links.map(({ url }) => `/d/${uid}?viewPanel=${id} ${path.basename(url, '.md')}`),
      ),
    ),
  );
  const operations = readFileSync('docs/operations.md', 'utf8');
  for (const { alert, labels, annotations } of alerts()) {
    assert.match(labels['severity'] ?? '', /^(?:critical|warning)$/, alert);
    assert.ok(annotations['summary'] && annotations['description'], alert);
    assert.equal(annotations['runbook_url'], `docs/runbooks/${alert}.md`);
    assert.ok(existsSync(annotations['runbook_url']), alert);
    assert.ok(
      panelLinks.has(`${annotations['dashboard_url']} ${alert}`),
      `${alert}: dashboard_url is none of ${[...panelLinks].join(', ')}`,
    );
    assert.ok(operations.includes(`(runbooks/${alert}.md)`), `docs/operations.md does not list ${alert}`);
    const own = cases.filter(({ alertname }) => alertname === alert);
    assert.ok(
      own.some(({ exp_alerts: firing }) => firing.length > 0) &&
        own.some(({ exp_alerts: firing }) => firing.length === 0),
      alert,
    );
  }
});
