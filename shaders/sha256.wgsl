// The bit functions of SHA-256 in the forms that compilers know best (docs/KERNELS.md tells which).
// A kernel receives only those that it calls; blank lines separate them.

// Rotations with a literal amount.
fn bsig0_literal(x: u32) -> u32 {
    return ((x >> 2u) | (x << 30u)) ^ ((x >> 13u) | (x << 19u)) ^ ((x >> 22u) | (x << 10u));
}

fn bsig1_literal(x: u32) -> u32 {
    return ((x >> 6u) | (x << 26u)) ^ ((x >> 11u) | (x << 21u)) ^ ((x >> 25u) | (x << 7u));
}

fn ssig0_literal(x: u32) -> u32 {
    return ((x >> 7u) | (x << 25u)) ^ ((x >> 18u) | (x << 14u)) ^ (x >> 3u);
}

fn ssig1_literal(x: u32) -> u32 {
    return ((x >> 17u) | (x << 15u)) ^ ((x >> 19u) | (x << 13u)) ^ (x >> 10u);
}

// Rotations by a function whose amount is an argument.
fn rotr(x: u32, amount: u32) -> u32 {
    return (x >> amount) | (x << (32u - amount));
}

fn bsig0_function(x: u32) -> u32 {
    return rotr(x, 2u) ^ rotr(x, 13u) ^ rotr(x, 22u);
}

fn bsig1_function(x: u32) -> u32 {
    return rotr(x, 6u) ^ rotr(x, 11u) ^ rotr(x, 25u);
}

fn ssig0_function(x: u32) -> u32 {
    return rotr(x, 7u) ^ rotr(x, 18u) ^ (x >> 3u);
}

fn ssig1_function(x: u32) -> u32 {
    return rotr(x, 17u) ^ rotr(x, 19u) ^ (x >> 10u);
}

// Rotations by amounts that are loaded from the parameters.
fn bsig0_uniform(x: u32) -> u32 {
    let r = params.rotations[0];
    return rotr(x, r.x) ^ rotr(x, r.y) ^ rotr(x, r.z);
}

fn bsig1_uniform(x: u32) -> u32 {
    return rotr(x, params.rotations[0].w) ^ rotr(x, params.rotations[1].x) ^ rotr(x, params.rotations[1].y);
}

fn ssig0_uniform(x: u32) -> u32 {
    return rotr(x, params.rotations[1].z) ^ rotr(x, params.rotations[1].w) ^ (x >> 3u);
}

fn ssig1_uniform(x: u32) -> u32 {
    return rotr(x, params.rotations[2].x) ^ rotr(x, params.rotations[2].y) ^ (x >> 10u);
}

// Where e is set the bit of f, else that of g.
fn ch_xor(e: u32, f: u32, g: u32) -> u32 {
    return g ^ (e & (f ^ g));
}

fn ch_or(e: u32, f: u32, g: u32) -> u32 {
    return (e & f) | (~e & g);
}

// The majority of three bits.
fn maj_xor(a: u32, b: u32, c: u32) -> u32 {
    return a ^ ((a ^ b) & (c ^ a));
}

fn maj_or(a: u32, b: u32, c: u32) -> u32 {
    return ((a ^ b) & c) | (~(a ^ b) & a);
}

// a ^ b is b ^ c of the next round.
fn maj_share(a: u32, b: u32, c: u32) -> u32 {
    return b ^ ((a ^ b) & (b ^ c));
}

// A nonce as the word that SHA-256 reads, or back.
fn swap_bytes(word: u32) -> u32 {
    return (word << 24u) | ((word & 0xff00u) << 8u) | ((word >> 8u) & 0xff00u) | (word >> 24u);
}
