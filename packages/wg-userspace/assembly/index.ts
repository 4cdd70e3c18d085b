// ChaCha20-Poly1305 (RFC 8439) in place over packets, and the Internet checksum (RFC 1071).
//
//   0      JOBS    32 records of 64 bytes: key(32) counterLow(4) counterHigh(4) offset(4) length(4), written by JavaScript
//   2048   KEYS    a Poly1305 key every 64 bytes, one per job
//   4096   scratch: key stream, states of Poly1305, the last block, a tag
//   8192   packet slots
//
// Everything below 8192 is wiped at the end of seal and open. Nothing branches on, or is indexed by, a secret; the
// verdict of a packet is not one. Compiled by scripts/build-wasm.mjs.
//
// The ciphers of a packet run at the same time: chacha20 makes 256 bytes of key stream in SIMD registers and hashes up to
// 20 blocks between its rounds with the scalar unit, which would otherwise be idle. When sealing these are blocks of what
// the call before has encrypted, so the last of a packet are hashed during the first call of the next packet. When opening
// they are the blocks which the same call is about to decrypt.

const JOB_BYTES: usize = 64;
const KEYS: usize = 2048;
const STREAM: usize = 4096; // 256: blocks 0 to 3
const TAIL: usize = 4352; // 256: stream for what is left at the end of a packet
const STATES: usize = 4608; // 2 of 128: r(16) s(16) h(5 x 8)
const STATE_BYTES: usize = 128;
const LAST: usize = 4864; // 16: a padded block
const TAG: usize = 4880; // 16
const SECRET_BYTES: usize = 4896;

// The three blocks that follow the Poly1305 key in a call that begins at block 0.
const HEAD_BYTES: usize = 192;
const CALL_BYTES: usize = 256;
// Blocks of Poly1305 are hashed in pairs, one pair per double round.
const PAIR_BYTES: usize = 32;
const MAX_PAIRS: usize = 10;
const LOW: u64 = 0xffffffff;

// Rotations by whole bytes are shuffles.
function rotl16(x: v128): v128 {
  return i16x8.shuffle(x, x, 1, 0, 3, 2, 5, 4, 7, 6);
}
function rotl8(x: v128): v128 {
  return i8x16.swizzle(x, i8x16(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
}
function rotl12(x: v128): v128 {
  return v128.or(i32x4.shl(x, 12), i32x4.shr_u(x, 20));
}
function rotl7(x: v128): v128 {
  return v128.or(i32x4.shl(x, 7), i32x4.shr_u(x, 25));
}
function splat(at: usize): v128 {
  return v128.load32_splat(at);
}

// Word `at` of four consecutive jobs.
function gather(at: usize): v128 {
  let x = v128.load32_zero(at);
  x = v128.load32_lane(at + JOB_BYTES, x, 1);
  x = v128.load32_lane(at + 2 * JOB_BYTES, x, 2);
  return v128.load32_lane(at + 3 * JOB_BYTES, x, 3);
}

// Four words of four blocks, transposed: into blocks of 64 bytes at `out`, or XORed into them.
function writeGroup(out: usize, a: v128, b: v128, c: v128, d: v128, xor: bool): void {
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5);
  const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
  let b0 = i64x2.shuffle(ab0, cd0, 0, 2);
  let b1 = i64x2.shuffle(ab0, cd0, 1, 3);
  let b2 = i64x2.shuffle(ab1, cd1, 0, 2);
  let b3 = i64x2.shuffle(ab1, cd1, 1, 3);
  if (xor) {
    b0 = v128.xor(b0, v128.load(out));
    b1 = v128.xor(b1, v128.load(out, 64));
    b2 = v128.xor(b2, v128.load(out, 128));
    b3 = v128.xor(b3, v128.load(out, 192));
  }
  v128.store(out, b0);
  v128.store(out, b1, 64);
  v128.store(out, b2, 128);
  v128.store(out, b3, 192);
}

// Four blocks of key stream, from block `first` of `job`, to `out` or XORed into it. Before anything is written there,
// `pairs` (0 to 10) times 32 bytes at `hashAt` are taken into the Poly1305 state.
// biome-ignore format: four lanes or five limbs to a line
function chacha20(job: usize, first: u32, out: usize, xor: bool, state: usize, hashAt: usize, pairs: usize): void {
  const k0 = splat(job), k1 = splat(job + 4), k2 = splat(job + 8), k3 = splat(job + 12);
  const k4 = splat(job + 16), k5 = splat(job + 20), k6 = splat(job + 24), k7 = splat(job + 28);
  const n1 = splat(job + 32), n2 = splat(job + 36);
  const c = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let x0 = i32x4.splat(0x61707865), x1 = i32x4.splat(0x3320646e), x2 = i32x4.splat(0x79622d32), x3 = i32x4.splat(0x6b206574);
  let x4 = k0, x5 = k1, x6 = k2, x7 = k3, x8 = k4, x9 = k5, x10 = k6, x11 = k7;
  let x12 = c, x13 = i32x4.splat(0), x14 = n1, x15 = n2;
  const r0 = <u64>load<u32>(state), r1 = <u64>load<u32>(state, 4), r2 = <u64>load<u32>(state, 8), r3 = <u64>load<u32>(state, 12);
  const s1 = r1 + (r1 >> 2), s2 = r2 + (r2 >> 2), s3 = r3 + (r3 >> 2);
  let h0 = load<u64>(state, 32), h1 = load<u64>(state, 40), h2 = load<u64>(state, 48), h3 = load<u64>(state, 56), h4 = load<u64>(state, 64);
  let d0: u64, d1: u64, d2: u64, d3: u64, d4: u64;
  let rest = MAX_PAIRS - pairs;
  for (; pairs > 0; pairs--) {
    x0 = i32x4.add(x0, x4); x1 = i32x4.add(x1, x5); x2 = i32x4.add(x2, x6); x3 = i32x4.add(x3, x7);
    x12 = rotl16(v128.xor(x12, x0)); x13 = rotl16(v128.xor(x13, x1)); x14 = rotl16(v128.xor(x14, x2)); x15 = rotl16(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12); x9 = i32x4.add(x9, x13); x10 = i32x4.add(x10, x14); x11 = i32x4.add(x11, x15);
    x4 = rotl12(v128.xor(x4, x8)); x5 = rotl12(v128.xor(x5, x9)); x6 = rotl12(v128.xor(x6, x10)); x7 = rotl12(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x4); x1 = i32x4.add(x1, x5); x2 = i32x4.add(x2, x6); x3 = i32x4.add(x3, x7);
    x12 = rotl8(v128.xor(x12, x0)); x13 = rotl8(v128.xor(x13, x1)); x14 = rotl8(v128.xor(x14, x2)); x15 = rotl8(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12); x9 = i32x4.add(x9, x13); x10 = i32x4.add(x10, x14); x11 = i32x4.add(x11, x15);
    x4 = rotl7(v128.xor(x4, x8)); x5 = rotl7(v128.xor(x5, x9)); x6 = rotl7(v128.xor(x6, x10)); x7 = rotl7(v128.xor(x7, x11));
    h0 += <u64>load<u32>(hashAt); h1 += <u64>load<u32>(hashAt, 4); h2 += <u64>load<u32>(hashAt, 8); h3 += <u64>load<u32>(hashAt, 12); h4 += 1;
    d0 = h1 * s3 + h2 * s2 + h3 * s1 + h0 * r0;
    d1 = h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1 + h0 * r1;
    d2 = h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2 + h0 * r2;
    d3 = h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3 + h0 * r3;
    d1 += d0 >> 32; d2 += d1 >> 32; d3 += d2 >> 32; d4 = h4 * r0 + (d3 >> 32);
    h1 = d1 & LOW; h2 = d2 & LOW; h3 = d3 & LOW; h4 = d4 & 3;
    h0 = (d0 & LOW) + (d4 >> 2) * 5;
    x0 = i32x4.add(x0, x5); x1 = i32x4.add(x1, x6); x2 = i32x4.add(x2, x7); x3 = i32x4.add(x3, x4);
    x15 = rotl16(v128.xor(x15, x0)); x12 = rotl16(v128.xor(x12, x1)); x13 = rotl16(v128.xor(x13, x2)); x14 = rotl16(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15); x11 = i32x4.add(x11, x12); x8 = i32x4.add(x8, x13); x9 = i32x4.add(x9, x14);
    x5 = rotl12(v128.xor(x5, x10)); x6 = rotl12(v128.xor(x6, x11)); x7 = rotl12(v128.xor(x7, x8)); x4 = rotl12(v128.xor(x4, x9));
    x0 = i32x4.add(x0, x5); x1 = i32x4.add(x1, x6); x2 = i32x4.add(x2, x7); x3 = i32x4.add(x3, x4);
    x15 = rotl8(v128.xor(x15, x0)); x12 = rotl8(v128.xor(x12, x1)); x13 = rotl8(v128.xor(x13, x2)); x14 = rotl8(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15); x11 = i32x4.add(x11, x12); x8 = i32x4.add(x8, x13); x9 = i32x4.add(x9, x14);
    x5 = rotl7(v128.xor(x5, x10)); x6 = rotl7(v128.xor(x6, x11)); x7 = rotl7(v128.xor(x7, x8)); x4 = rotl7(v128.xor(x4, x9));
    h0 += <u64>load<u32>(hashAt, 16); h1 += <u64>load<u32>(hashAt, 20); h2 += <u64>load<u32>(hashAt, 24); h3 += <u64>load<u32>(hashAt, 28); h4 += 1;
    d0 = h1 * s3 + h2 * s2 + h3 * s1 + h0 * r0;
    d1 = h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1 + h0 * r1;
    d2 = h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2 + h0 * r2;
    d3 = h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3 + h0 * r3;
    d1 += d0 >> 32; d2 += d1 >> 32; d3 += d2 >> 32; d4 = h4 * r0 + (d3 >> 32);
    h1 = d1 & LOW; h2 = d2 & LOW; h3 = d3 & LOW; h4 = d4 & 3;
    h0 = (d0 & LOW) + (d4 >> 2) * 5;
    hashAt += PAIR_BYTES;
  }
  for (; rest > 0; rest--) {
    x0 = i32x4.add(x0, x4); x1 = i32x4.add(x1, x5); x2 = i32x4.add(x2, x6); x3 = i32x4.add(x3, x7);
    x12 = rotl16(v128.xor(x12, x0)); x13 = rotl16(v128.xor(x13, x1)); x14 = rotl16(v128.xor(x14, x2)); x15 = rotl16(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12); x9 = i32x4.add(x9, x13); x10 = i32x4.add(x10, x14); x11 = i32x4.add(x11, x15);
    x4 = rotl12(v128.xor(x4, x8)); x5 = rotl12(v128.xor(x5, x9)); x6 = rotl12(v128.xor(x6, x10)); x7 = rotl12(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x4); x1 = i32x4.add(x1, x5); x2 = i32x4.add(x2, x6); x3 = i32x4.add(x3, x7);
    x12 = rotl8(v128.xor(x12, x0)); x13 = rotl8(v128.xor(x13, x1)); x14 = rotl8(v128.xor(x14, x2)); x15 = rotl8(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12); x9 = i32x4.add(x9, x13); x10 = i32x4.add(x10, x14); x11 = i32x4.add(x11, x15);
    x4 = rotl7(v128.xor(x4, x8)); x5 = rotl7(v128.xor(x5, x9)); x6 = rotl7(v128.xor(x6, x10)); x7 = rotl7(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x5); x1 = i32x4.add(x1, x6); x2 = i32x4.add(x2, x7); x3 = i32x4.add(x3, x4);
    x15 = rotl16(v128.xor(x15, x0)); x12 = rotl16(v128.xor(x12, x1)); x13 = rotl16(v128.xor(x13, x2)); x14 = rotl16(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15); x11 = i32x4.add(x11, x12); x8 = i32x4.add(x8, x13); x9 = i32x4.add(x9, x14);
    x5 = rotl12(v128.xor(x5, x10)); x6 = rotl12(v128.xor(x6, x11)); x7 = rotl12(v128.xor(x7, x8)); x4 = rotl12(v128.xor(x4, x9));
    x0 = i32x4.add(x0, x5); x1 = i32x4.add(x1, x6); x2 = i32x4.add(x2, x7); x3 = i32x4.add(x3, x4);
    x15 = rotl8(v128.xor(x15, x0)); x12 = rotl8(v128.xor(x12, x1)); x13 = rotl8(v128.xor(x13, x2)); x14 = rotl8(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15); x11 = i32x4.add(x11, x12); x8 = i32x4.add(x8, x13); x9 = i32x4.add(x9, x14);
    x5 = rotl7(v128.xor(x5, x10)); x6 = rotl7(v128.xor(x6, x11)); x7 = rotl7(v128.xor(x7, x8)); x4 = rotl7(v128.xor(x4, x9));
  }
  writeGroup(out, i32x4.add(x0, i32x4.splat(0x61707865)), i32x4.add(x1, i32x4.splat(0x3320646e)), i32x4.add(x2, i32x4.splat(0x79622d32)), i32x4.add(x3, i32x4.splat(0x6b206574)), xor);
  writeGroup(out + 16, i32x4.add(x4, k0), i32x4.add(x5, k1), i32x4.add(x6, k2), i32x4.add(x7, k3), xor);
  writeGroup(out + 32, i32x4.add(x8, k4), i32x4.add(x9, k5), i32x4.add(x10, k6), i32x4.add(x11, k7), xor);
  writeGroup(out + 48, i32x4.add(x12, c), x13, i32x4.add(x14, n1), i32x4.add(x15, n2), xor);
  store<u64>(state, h0, 32); store<u64>(state, h1, 40); store<u64>(state, h2, 48); store<u64>(state, h3, 56); store<u64>(state, h4, 64);
}

// The Poly1305 keys of four consecutive jobs: the first half of block 0 of each, in one lane each.
// The double round stands a third time here: a function cannot return sixteen vectors, and through memory it would be slower.
// biome-ignore format: four lanes or five limbs to a line
function polyKeys(job: usize, out: usize): void {
  const k0 = gather(job), k1 = gather(job + 4), k2 = gather(job + 8), k3 = gather(job + 12);
  let x0 = i32x4.splat(0x61707865), x1 = i32x4.splat(0x3320646e), x2 = i32x4.splat(0x79622d32), x3 = i32x4.splat(0x6b206574);
  let x4 = k0, x5 = k1, x6 = k2, x7 = k3;
  let x8 = gather(job + 16), x9 = gather(job + 20), x10 = gather(job + 24), x11 = gather(job + 28);
  let x12 = i32x4.splat(0), x13 = i32x4.splat(0), x14 = gather(job + 32), x15 = gather(job + 36);
  for (let round = 0; round < 10; round++) {
    x0 = i32x4.add(x0, x4); x1 = i32x4.add(x1, x5); x2 = i32x4.add(x2, x6); x3 = i32x4.add(x3, x7);
    x12 = rotl16(v128.xor(x12, x0)); x13 = rotl16(v128.xor(x13, x1)); x14 = rotl16(v128.xor(x14, x2)); x15 = rotl16(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12); x9 = i32x4.add(x9, x13); x10 = i32x4.add(x10, x14); x11 = i32x4.add(x11, x15);
    x4 = rotl12(v128.xor(x4, x8)); x5 = rotl12(v128.xor(x5, x9)); x6 = rotl12(v128.xor(x6, x10)); x7 = rotl12(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x4); x1 = i32x4.add(x1, x5); x2 = i32x4.add(x2, x6); x3 = i32x4.add(x3, x7);
    x12 = rotl8(v128.xor(x12, x0)); x13 = rotl8(v128.xor(x13, x1)); x14 = rotl8(v128.xor(x14, x2)); x15 = rotl8(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12); x9 = i32x4.add(x9, x13); x10 = i32x4.add(x10, x14); x11 = i32x4.add(x11, x15);
    x4 = rotl7(v128.xor(x4, x8)); x5 = rotl7(v128.xor(x5, x9)); x6 = rotl7(v128.xor(x6, x10)); x7 = rotl7(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x5); x1 = i32x4.add(x1, x6); x2 = i32x4.add(x2, x7); x3 = i32x4.add(x3, x4);
    x15 = rotl16(v128.xor(x15, x0)); x12 = rotl16(v128.xor(x12, x1)); x13 = rotl16(v128.xor(x13, x2)); x14 = rotl16(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15); x11 = i32x4.add(x11, x12); x8 = i32x4.add(x8, x13); x9 = i32x4.add(x9, x14);
    x5 = rotl12(v128.xor(x5, x10)); x6 = rotl12(v128.xor(x6, x11)); x7 = rotl12(v128.xor(x7, x8)); x4 = rotl12(v128.xor(x4, x9));
    x0 = i32x4.add(x0, x5); x1 = i32x4.add(x1, x6); x2 = i32x4.add(x2, x7); x3 = i32x4.add(x3, x4);
    x15 = rotl8(v128.xor(x15, x0)); x12 = rotl8(v128.xor(x12, x1)); x13 = rotl8(v128.xor(x13, x2)); x14 = rotl8(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15); x11 = i32x4.add(x11, x12); x8 = i32x4.add(x8, x13); x9 = i32x4.add(x9, x14);
    x5 = rotl7(v128.xor(x5, x10)); x6 = rotl7(v128.xor(x6, x11)); x7 = rotl7(v128.xor(x7, x8)); x4 = rotl7(v128.xor(x4, x9));
  }
  writeGroup(out, i32x4.add(x0, i32x4.splat(0x61707865)), i32x4.add(x1, i32x4.splat(0x3320646e)), i32x4.add(x2, i32x4.splat(0x79622d32)), i32x4.add(x3, i32x4.splat(0x6b206574)), false);
  writeGroup(out + 16, i32x4.add(x4, k0), i32x4.add(x5, k1), i32x4.add(x6, k2), i32x4.add(x7, k3), false);
}

// XORs `length` bytes of key stream at `stream` into `at`.
function xorBytes(at: usize, stream: usize, length: usize): void {
  let i: usize = 0;
  for (; i + 16 <= length; i += 16) v128.store(at + i, v128.xor(v128.load(at + i), v128.load(stream + i)));
  for (; i < length; i++) store<u8>(at + i, load<u8>(at + i) ^ load<u8>(stream + i));
}

function polyInit(state: usize, key: usize): void {
  const clamp = i32x4(0x0fffffff, 0x0ffffffc, 0x0ffffffc, 0x0ffffffc);
  v128.store(state, v128.and(v128.load(key), clamp));
  v128.store(state, v128.load(key, 16), 16);
  v128.store(state, i32x4.splat(0), 32);
  v128.store(state, i32x4.splat(0), 48);
  store<u64>(state, 0, 64);
}

// Takes `length` bytes, a multiple of 16, into the state. Limbs of 32 bits, with r below 2^28 in each: h1 to h3 stay below
// 2^33 and h0 below 2^34 when a block is added, so that sums of five products stay below 2^64 without carrying before.
// biome-ignore format: four lanes or five limbs to a line
function polyBlocks(state: usize, hashAt: usize, length: usize): void {
  const r0 = <u64>load<u32>(state), r1 = <u64>load<u32>(state, 4), r2 = <u64>load<u32>(state, 8), r3 = <u64>load<u32>(state, 12);
  const s1 = r1 + (r1 >> 2), s2 = r2 + (r2 >> 2), s3 = r3 + (r3 >> 2);
  let h0 = load<u64>(state, 32), h1 = load<u64>(state, 40), h2 = load<u64>(state, 48), h3 = load<u64>(state, 56), h4 = load<u64>(state, 64);
  let d0: u64, d1: u64, d2: u64, d3: u64, d4: u64;
  const end = hashAt + length;
  for (; hashAt < end; hashAt += 16) {
    h0 += <u64>load<u32>(hashAt); h1 += <u64>load<u32>(hashAt, 4); h2 += <u64>load<u32>(hashAt, 8); h3 += <u64>load<u32>(hashAt, 12); h4 += 1;
    d0 = h1 * s3 + h2 * s2 + h3 * s1 + h0 * r0;
    d1 = h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1 + h0 * r1;
    d2 = h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2 + h0 * r2;
    d3 = h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3 + h0 * r3;
    d1 += d0 >> 32; d2 += d1 >> 32; d3 += d2 >> 32; d4 = h4 * r0 + (d3 >> 32);
    h1 = d1 & LOW; h2 = d2 & LOW; h3 = d3 & LOW; h4 = d4 & 3;
    h0 = (d0 & LOW) + (d4 >> 2) * 5;
  }
  store<u64>(state, h0, 32); store<u64>(state, h1, 40); store<u64>(state, h2, 48); store<u64>(state, h3, 56); store<u64>(state, h4, 64);
}

// h mod 2^130 - 5, plus s, modulo 2^128.
// biome-ignore format: four lanes or five limbs to a line
function polyTag(state: usize, tag: usize): void {
  let h0 = load<u64>(state, 32), h1 = load<u64>(state, 40), h2 = load<u64>(state, 48), h3 = load<u64>(state, 56), h4 = load<u64>(state, 64);
  h1 += h0 >> 32; h0 &= LOW;
  h2 += h1 >> 32; h1 &= LOW;
  h3 += h2 >> 32; h2 &= LOW;
  h4 += h3 >> 32; h3 &= LOW;
  // Now h < 2p. Takes h - p if that is not negative, without a branch.
  const g0 = h0 + 5, g1 = h1 + (g0 >> 32), g2 = h2 + (g1 >> 32), g3 = h3 + (g2 >> 32), g4 = h4 + (g3 >> 32);
  const mask: u64 = 0 - (g4 >> 2);
  h0 ^= (h0 ^ (g0 & LOW)) & mask;
  h1 ^= (h1 ^ (g1 & LOW)) & mask;
  h2 ^= (h2 ^ (g2 & LOW)) & mask;
  h3 ^= (h3 ^ (g3 & LOW)) & mask;
  const t0 = h0 + <u64>load<u32>(state, 16);
  const t1 = h1 + <u64>load<u32>(state, 20) + (t0 >> 32);
  const t2 = h2 + <u64>load<u32>(state, 24) + (t1 >> 32);
  const t3 = h3 + <u64>load<u32>(state, 28) + (t2 >> 32);
  store<u32>(tag, <u32>t0);
  store<u32>(tag, <u32>t1, 4);
  store<u32>(tag, <u32>t2, 8);
  store<u32>(tag, <u32>t3, 12);
}

// Takes the last `left` bytes of a ciphertext of `length`, zero-padded, and the lengths (no additional data); the tag.
function polyFinish(state: usize, at: usize, left: usize, length: usize, tag: usize): void {
  const whole = left & ~15;
  polyBlocks(state, at, whole);
  if (left > whole) {
    v128.store(LAST, i32x4.splat(0));
    for (let i: usize = whole; i < left; i++) store<u8>(LAST + i - whole, load<u8>(at + i));
    polyBlocks(state, LAST, 16);
  }
  store<u64>(LAST, 0);
  store<u64>(LAST, <u64>length, 8);
  polyBlocks(state, LAST, 16);
  polyTag(state, tag);
}

// Whether a packet gains from a Poly1305 key of its own: otherwise a call from block 0 costs it no additional call.
function wantsKey(job: usize): u32 {
  return (((load<u32>(job, 44) - 1) & 255) >= <u32>HEAD_BYTES) ? 1 : 0;
}

// Makes the Poly1305 keys of the four jobs from `job` on if at least two of them gain by it.
function prepareKeys(i: usize): bool {
  const job = i * JOB_BYTES;
  if (wantsKey(job) + wantsKey(job + JOB_BYTES) + wantsKey(job + 2 * JOB_BYTES) + wantsKey(job + 3 * JOB_BYTES) < 2) return false;
  polyKeys(job, KEYS + job);
  return true;
}

function min(a: usize, b: usize): usize {
  return a < b ? a : b;
}

export function seal(count: u32): void {
  let keyed = false;
  // What is still to be hashed of the packet before, and of this one.
  let before: usize = 0, beforeAt: usize = 0, beforeLeft: usize = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const job = i * JOB_BYTES;
    const at = <usize>load<u32>(job, 40);
    const length = <usize>load<u32>(job, 44);
    const state = STATES + (i & 1) * STATE_BYTES;
    if ((i & 3) == 0) keyed = prepareKeys(i);
    let done: usize = 0;
    let block: u32 = 1;
    let pairs = min(beforeLeft / PAIR_BYTES, MAX_PAIRS);
    if (keyed && wantsKey(job)) {
      polyInit(state, KEYS + job);
      if (length < CALL_BYTES) {
        chacha20(job, 1, TAIL, false, before ? before : STATES, beforeAt, pairs);
        xorBytes(at, TAIL, length);
        done = length;
      } else {
        chacha20(job, 1, at, true, before ? before : STATES, beforeAt, pairs);
        done = CALL_BYTES;
      }
      block = 5;
    } else {
      chacha20(job, 0, STREAM, false, before ? before : STATES, beforeAt, pairs);
      polyInit(state, STREAM);
      done = min(length, HEAD_BYTES);
      xorBytes(at, STREAM + 64, done);
      block = 4;
    }
    if (before) {
      pairs *= PAIR_BYTES;
      polyFinish(before, beforeAt + pairs, beforeLeft - pairs, <usize>load<u32>(job - JOB_BYTES, 44), beforeAt + beforeLeft);
    }
    let hashed: usize = 0;
    for (; done < length; block += 4) {
      pairs = min((done - hashed) / PAIR_BYTES, MAX_PAIRS);
      if (done + CALL_BYTES <= length) {
        chacha20(job, block, at + done, true, state, at + hashed, pairs);
        done += CALL_BYTES;
      } else {
        chacha20(job, block, TAIL, false, state, at + hashed, pairs);
        xorBytes(at + done, TAIL, length - done);
        done = length;
      }
      hashed += pairs * PAIR_BYTES;
    }
    before = state;
    beforeAt = at + hashed;
    beforeLeft = length - hashed;
  }
  if (before) polyFinish(before, beforeAt, beforeLeft, <usize>load<u32>((<usize>count - 1) * JOB_BYTES, 44), beforeAt + beforeLeft);
  memory.fill(0, 0, SECRET_BYTES);
}

// Returns a bit for each job whose tag was right.
export function open(count: u32): u32 {
  let keyed = false;
  let verdicts: u32 = 0;
  for (let i: usize = 0; i < <usize>count; i++) {
    const job = i * JOB_BYTES;
    const at = <usize>load<u32>(job, 40);
    const length = <usize>load<u32>(job, 44);
    if ((i & 3) == 0) keyed = prepareKeys(i);
    // `waiting` bytes at the start are decrypted only after they have been hashed.
    let waiting: usize = 0;
    let block: u32 = 1;
    if (keyed && wantsKey(job)) {
      polyInit(STATES, KEYS + job);
    } else {
      chacha20(job, 0, STREAM, false, STATES, at, 0);
      polyInit(STATES, STREAM);
      waiting = min(length, HEAD_BYTES);
      block = 4;
    }
    let done = waiting;
    let hashed: usize = 0;
    for (; done < length; block += 4) {
      const whole = done + CALL_BYTES <= length;
      const until = whole ? done + CALL_BYTES : length & ~31;
      if (until - hashed > MAX_PAIRS * PAIR_BYTES) {
        const more = until - hashed - MAX_PAIRS * PAIR_BYTES;
        polyBlocks(STATES, at + hashed, more);
        hashed += more;
      }
      const pairs = (until - hashed) / PAIR_BYTES;
      if (whole) {
        chacha20(job, block, at + done, true, STATES, at + hashed, pairs);
        done += CALL_BYTES;
        hashed = done;
      } else {
        chacha20(job, block, TAIL, false, STATES, at + hashed, pairs);
        hashed += pairs * PAIR_BYTES;
        break;
      }
    }
    polyFinish(STATES, at + hashed, length - hashed, length, TAG);
    if (v128.any_true(v128.xor(v128.load(TAG), v128.load(at + length)))) {
      memory.fill(at, 0, length + 16);
    } else {
      xorBytes(at, STREAM + 64, waiting);
      xorBytes(at + done, TAIL, length - done);
      verdicts |= <u32>1 << <u32>i;
    }
  }
  memory.fill(0, 0, SECRET_BYTES);
  return verdicts;
}

// Poly1305 alone, over a multiple of 16 bytes, for its test vectors: with pairs of blocks between rounds, or without.
export function poly1305(key: usize, at: usize, length: usize, tag: usize, stitched: bool): void {
  polyInit(STATES, key);
  let hashed: usize = 0;
  while (stitched && length - hashed >= PAIR_BYTES) {
    const pairs = min((length - hashed) / PAIR_BYTES, MAX_PAIRS);
    chacha20(0, 0, STREAM, false, STATES, at + hashed, pairs);
    hashed += pairs * PAIR_BYTES;
  }
  polyBlocks(STATES, at + hashed, length - hashed);
  polyTag(STATES, tag);
  memory.fill(0, 0, SECRET_BYTES);
}

// Sum of big-endian 16-bit words, folded, not complemented.
export function checksum(at: usize, length: usize, initial: u32): u32 {
  let sum: u64 = 0;
  const end = at + length;
  while (end - at >= 32) {
    // A lane of 32 bits takes 32768 pairs of words.
    const stop = at + min((end - at) & ~31, 0x10000);
    let a = i32x4.splat(0), b = i32x4.splat(0);
    for (; at < stop; at += 32) {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at, 16)));
    }
    const t = i64x2.add(i64x2.extend_low_i32x4_u(a), i64x2.extend_high_i32x4_u(a));
    const u = i64x2.add(i64x2.extend_low_i32x4_u(b), i64x2.extend_high_i32x4_u(b));
    const both = i64x2.add(t, u);
    sum += i64x2.extract_lane(both, 0) + i64x2.extract_lane(both, 1);
  }
  for (; at + 2 <= end; at += 2) sum += <u64>load<u16>(at);
  if (at < end) sum += <u64>load<u8>(at);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  // Little-endian words were summed: RFC 1071 §2 (B) lets the bytes be swapped at the end.
  let folded = ((sum & 0xff) << 8) | (sum >> 8);
  folded += <u64>initial;
  while (folded >> 16) folded = (folded & 0xffff) + (folded >> 16);
  return <u32>folded;
}
