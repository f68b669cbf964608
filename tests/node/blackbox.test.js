// Messages that iso_8583 wrote, answered by Mayfly, and read by iso_8583: a second implementation of ISO 8583
// that has nothing in common with the one under test.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

import Iso8583 from 'iso_8583';

const PATIENCE_MS = 60_000;
const binary = resolve(process.env.MAYFLY_BINARY ?? '');

// Bitmaps are hexadecimal text here, not bytes.
const FORMATS = { 1: { ContentType: 'an', Label: 'Bitmap', LenType: 'fixed', MaxLen: 32 } };

let around;
let data;
let server;
let port;
let account;

const mayfly = (...words) =>
  execFileSync(binary, ['--json', '--data-dir', data, ...words], { timeout: PATIENCE_MS, encoding: 'utf8' });
const ask = (...words) => JSON.parse(mayfly(...words));

before(async () => {
  assert.ok(process.env.MAYFLY_BINARY, 'say which binary to test: MAYFLY_BINARY=target/debug/mayfly');
  around = mkdtempSync(join(tmpdir(), 'mayfly-'));
  data = join(around, 'data');
  mayfly('init');
  writeFileSync(
    join(data, 'mayfly.toml'),
    '[iso8583]\nlisteners = [{ address = "127.0.0.1:0", dialect = "ascii87" }]\n' +
      '[admin]\nhttp_address = "127.0.0.1:0"\n[api]\naddress = "127.0.0.1:0"\n',
  );
  const log = openSync(join(around, 'server.log'), 'w');
  server = spawn(binary, ['--data-dir', data, 'serve'], { stdio: ['ignore', log, log] });
  port = await ready();
  const issuer = ask('issuer', 'open', 'Node').id;
  ask('programme', 'open', 'Node', '--issuer', issuer, '--prefix', '456940');
  account = ask('account', 'open', '--issuer', issuer, '--currency', 'USD').id;
  ask('account', 'fund', account, '1000.00');
});

after(async () => {
  if (server && server.exitCode === null) {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill('SIGTERM');
    await ended;
  }
  rmSync(around, { recursive: true, force: true });
});

async function ready() {
  const deadline = Date.now() + PATIENCE_MS;
  while (Date.now() < deadline && server.exitCode === null) {
    try {
      const run = JSON.parse(readFileSync(join(data, 'run.json'), 'utf8'));
      if (run.pid === server.pid) return Number(run.addresses.iso8583[0].address.split(':').pop());
    } catch {
      // Not there yet.
    }
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`the server is not ready:\n${readFileSync(join(around, 'server.log'), 'utf8')}`);
}

let counter = 0;

function purchase(card, minor) {
  counter += 1;
  return {
    0: '0100',
    2: card.number,
    3: '000000',
    4: String(minor).padStart(12, '0'),
    7: '0301120000',
    11: String(counter).padStart(6, '0'),
    12: '120000',
    13: '0301',
    14: card.expiry.slice(2) + card.expiry.slice(0, 2),
    18: '5942',
    19: '840',
    22: '812',
    32: '400001',
    37: String(counter).padStart(12, '0'),
    41: 'TERM0001',
    42: 'BOOKSHOP-1     ',
    49: '840',
  };
}

function reversal(original) {
  counter += 1;
  const { 0: mti, 7: sent, 11: stan, 32: acquirer } = original;
  return {
    ...original,
    0: '0400',
    11: String(counter).padStart(6, '0'),
    90: mti + stan + sent + acquirer.padStart(11, '0') + '0'.repeat(11),
  };
}

/** Sends a message with its length before it; gives the answer as iso_8583 reads it. */
function exchange(message) {
  const packed = new Iso8583(message, FORMATS).getBufferMessage();
  assert.ok(Buffer.isBuffer(packed), packed.error);
  return new Promise((answered, failed) => {
    const socket = net.connect(port, '127.0.0.1', () => socket.write(packed));
    let received = Buffer.alloc(0);
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));
    socket.on('error', failed);
    socket.on('close', () => failed(new Error('closed without an answer')));
    socket.on('data', (part) => {
      received = Buffer.concat([received, part]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const answer = new Iso8583({}, FORMATS).getIsoJSON(received, { bitmapEncoding: 'utf8' });
      answered(answer);
      socket.end();
    });
  });
}

const money = () => {
  const shown = ask('account', 'show', account);
  return [shown.balance.minor, shown.held.minor];
};

test('A16, A51: a purchase is approved, its repeat too, a second one is declined', async () => {
  const card = ask('number', 'issue', '--account', account);
  const message = purchase(card, 2498);
  const answer = await exchange(message);
  assert.equal(answer[0], '0110');
  assert.equal(answer[39], '00', JSON.stringify(answer));
  assert.match(answer[38], /^\d{6}$/);
  for (const element of [2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49]) {
    assert.equal(answer[element], message[element], `DE ${element}`);
  }
  const again = await exchange({ ...message, 0: '0101' });
  assert.deepEqual([again[0], again[38], again[39]], ['0110', answer[38], '00']);
  assert.equal((await exchange(purchase(card, 2498)))[39], '05');
  assert.deepEqual(money(), [97502, 2498]);
});

test('A16: a reversal with DE 90 gives the money back', async () => {
  const [before, held] = money();
  const card = ask('number', 'issue', '--account', account);
  const message = purchase(card, 5000);
  assert.equal((await exchange(message))[39], '00');
  assert.deepEqual(money(), [before - 5000, held + 5000]);
  const undo = reversal(message);
  const answer = await exchange(undo);
  assert.deepEqual([answer[0], answer[39], answer[90]], ['0410', '00', undo[90]]);
  assert.deepEqual(money(), [before, held]);
});

test('A53: a date in the past is 54', async () => {
  const card = ask('number', 'issue', '--account', account);
  assert.equal((await exchange({ ...purchase(card, 100), 14: '2001' }))[39], '54');
});
