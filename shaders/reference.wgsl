// SHA-256d as one reads it in FIPS 180-4: loops, arrays, nothing folded. The readable twin of the derived
// kernels, and the last resort where a driver fails on them. Its job words are the midstate (0..7) and
// the three words of header bytes 64..75 (8..10).

const K = array<u32, 64>(
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
    0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
    0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
    0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
    0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
);

const IV = array<u32, 8>(
    0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu, 0x5be0cd19u,
);

// A private copy: indexing a const array at run time would store it anew at each use.
var<private> k: array<u32, 64> = K;
// The message schedule and the hash value, by their names in FIPS 180-4.
var<private> w: array<u32, 64>;
var<private> h: array<u32, 8>;

fn test_nonce(nonce: u32, w3: u32) {
    // First hash, second block: from the midstate, the last 16 bytes of the header and the padding of an
    // 80-byte message.
    for (var i = 0u; i < 8u; i++) {
        h[i] = params.job[i / 4u][i % 4u];
    }
    w[0] = params.job[2].x;
    w[1] = params.job[2].y;
    w[2] = params.job[2].z;
    w[3] = w3;
    w[4] = 0x80000000u;
    for (var t = 5u; t < 15u; t++) {
        w[t] = 0u;
    }
    w[15] = 640u;
    compress();

    // Second hash: the digest and the padding of a 32-byte message.
    for (var t = 0u; t < 8u; t++) {
        w[t] = h[t];
    }
    w[8] = 0x80000000u;
    for (var t = 9u; t < 15u; t++) {
        w[t] = 0u;
    }
    w[15] = 256u;
    h = IV;
    compress();
    if (h[7] & params.filter_mask) == 0u {
        report_hit(0u, nonce);
    }
}

// The compression function: the block in w[0..15] into the hash value h.
fn compress() {
    for (var t = 16u; t < 64u; t++) {
        w[t] = ssig1_function(w[t - 2u]) + w[t - 7u] + ssig0_function(w[t - 15u]) + w[t - 16u];
    }
    var a = h[0];
    var b = h[1];
    var c = h[2];
    var d = h[3];
    var e = h[4];
    var f = h[5];
    var g = h[6];
    var last = h[7];
    for (var t = 0u; t < 64u; t++) {
        let t1 = last + bsig1_function(e) + ch_xor(e, f, g) + k[t] + w[t];
        let t2 = bsig0_function(a) + maj_xor(a, b, c);
        last = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
    h[5] += f;
    h[6] += g;
    h[7] += last;
}
