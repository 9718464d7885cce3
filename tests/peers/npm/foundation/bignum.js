// In place of bignum, which must be compiled: what foundation-stratum uses of it, by JavaScript's own BigInt.
'use strict';

class Big {
  constructor(value) {
    this.value = value;
  }

  mul(other) {
    return new Big(this.value * big(other).value);
  }

  pow(other) {
    return new Big(this.value ** big(other).value);
  }

  ge(other) {
    return this.value >= big(other).value;
  }

  toNumber() {
    return Number(this.value);
  }
}

// From a number, another Big, or a text in this base, 10 or 16.
function big(from, base = 10) {
  if (from instanceof Big) return from;
  return new Big(BigInt(base === 16 ? `0x${from}` : from));
}

big.fromBuffer = (bytes, { endian = 'big' } = {}) => {
  const ordered = endian === 'big' ? bytes : Buffer.from(bytes).reverse();
  return big(ordered.toString('hex'), 16);
};

module.exports = big;
