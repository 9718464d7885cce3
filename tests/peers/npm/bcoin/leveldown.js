// In place of the database on disk, which bcoin loads but with --memory does not use: it must be compiled.
'use strict';

module.exports = null;
