// Starts foundation-stratum as `node start.js CONFIG`. The file CONFIG is JSON:
//   node       { host, port, username, password } of Bitcoin Core's RPC
//   address    whom blocks pay
//   difficulty of every share
//   plain, tls ports; the certificate is certificates/{key,cert}.pem in the current folder
'use strict';

const fs = require('fs');
const net = require('net');

// It listens on all interfaces and has no setting for that.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return listen.call(this, port, '127.0.0.1', ...rest);
};

const { node, address, difficulty, plain, tls } = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));

const coin = {
  name: 'Bitcoin',
  asicboost: true,
  getinfo: false,
  segwit: true,
  version: 1,
  rewards: { type: '' },
  algorithms: { mining: 'sha256d', block: 'sha256d', coinbase: 'sha256d' },
  // It takes any chain but "test" for the main one, and so these are regtest's prefixes.
  mainnet: { coin: 'btc', bech32: 'bcrt', pubKeyHash: 0x6f, scriptHash: 0xc4 },
};

const port = (number, encrypted) => ({
  port: number,
  enabled: true,
  tls: encrypted,
  // A minimum and maximum that are the same keep it from changing.
  difficulty: {
    initial: difficulty,
    minimum: difficulty,
    maximum: difficulty,
    targetTime: 15,
    retargetTime: 90,
    variance: 0.3,
  },
});

const pool = require('foundation-stratum').create(
  {
    name: 'peer',
    coins: ['Bitcoin'],
    primary: { address, coin, daemons: [node], recipients: [] },
    ports: [port(plain, false), port(tls, true)],
    settings: { blockRefreshInterval: 250, connectionTimeout: 600, jobRebroadcastTimeout: 30 },
    banning: { time: 1, invalidPercent: 1.1, checkThreshold: 1000, purgeInterval: 60 },
    p2p: { enabled: false },
  },
  { tls: { key: 'key.pem', cert: 'cert.pem' } },
  (_ip, _port, worker, _auxiliary, _password, answer) => {
    // One worker that it refuses, to be refused by somebody.
    answer({ error: null, authorized: worker !== 'refused', disconnect: false });
  },
  (outcome) => console.log(outcome === true ? 'ready' : `failed: ${outcome}`),
);

pool.on('log', (severity, text) => console.log(`${severity}: ${text}`));
pool.on('share', (share, verdict, block) => {
  console.log(`share: ${verdict}${block ? ', a block' : ''}, ${share.hash ?? share.error}`);
});
pool.setupPool();
