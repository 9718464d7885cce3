// In place of the hashes of forty coins, which must be compiled: Bitcoin's, by node's own SHA-256.
'use strict';

const { createHash } = require('crypto');

const sha256 = (bytes) => createHash('sha256').update(bytes).digest();

exports.sha256d = (bytes) => sha256(sha256(bytes));
