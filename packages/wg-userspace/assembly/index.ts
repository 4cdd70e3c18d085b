// ChaCha20-Poly1305 (RFC 8439) in place over packets, and the Internet checksum (RFC 1071).
// Memory: JOBS job records of 64 bytes at 0, scratch behind them, packet slots behind that.
//   job: key(32) counterLow(4) counterHigh(4) offset(4) length(4) verdict(4)
// Compiled by scripts/build-wasm.mjs.

const JOB_BYTES: usize = 64;
const SCRATCH: usize = 4096; // 256 bytes of key stream, 16 of tag
const TAG: usize = SCRATCH + 256;
const LAST: usize = SCRATCH + 288; // a last, partial block

// @ts-ignore: decorator
@inline
function rotl16(x: v128): v128 {
  return i8x16.shuffle(x, x, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
}
// @ts-ignore: decorator
@inline
function rotl8(x: v128): v128 {
  return i8x16.shuffle(x, x, 3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14);
}
// @ts-ignore: decorator
@inline
function rotl12(x: v128): v128 {
  return v128.or(i32x4.shl(x, 12), i32x4.shr_u(x, 20));
}
// @ts-ignore: decorator
@inline
function rotl7(x: v128): v128 {
  return v128.or(i32x4.shl(x, 7), i32x4.shr_u(x, 25));
}
// @ts-ignore: decorator
@inline
function splat(at: usize): v128 {
  return v128.load32_splat(at);
}

// XORs one 4x4 group, transposed, into four 64-byte blocks at `out`, 16 bytes each at `column`.
// @ts-ignore: decorator
@inline
function writeGroup(out: usize, column: usize, a: v128, b: v128, c: v128, d: v128, xor: bool): void {
  const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5);
  const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
  const cd0 = i32x4.shuffle(c, d, 0, 4, 1, 5);
  const cd1 = i32x4.shuffle(c, d, 2, 6, 3, 7);
  let r0 = i64x2.shuffle(ab0, cd0, 0, 2);
  let r1 = i64x2.shuffle(ab0, cd0, 1, 3);
  let r2 = i64x2.shuffle(ab1, cd1, 0, 2);
  let r3 = i64x2.shuffle(ab1, cd1, 1, 3);
  const at = out + column;
  if (xor) {
    r0 = v128.xor(r0, v128.load(at));
    r1 = v128.xor(r1, v128.load(at, 64));
    r2 = v128.xor(r2, v128.load(at, 128));
    r3 = v128.xor(r3, v128.load(at, 192));
  }
  v128.store(at, r0);
  v128.store(at, r1, 64);
  v128.store(at, r2, 128);
  v128.store(at, r3, 192);
}

// Four key-stream blocks from block number `first`, written to `out` (256 bytes), or XORed into it.
function blocks4(job: usize, first: u32, out: usize, xor: bool): void {
  const k0 = splat(job), k1 = splat(job + 4), k2 = splat(job + 8), k3 = splat(job + 12);
  const k4 = splat(job + 16), k5 = splat(job + 20), k6 = splat(job + 24), k7 = splat(job + 28);
  const n1 = splat(job + 32), n2 = splat(job + 36);
  const c = i32x4.add(i32x4.splat(first), i32x4(0, 1, 2, 3));
  let x0 = i32x4.splat(0x61707865), x1 = i32x4.splat(0x3320646e), x2 = i32x4.splat(0x79622d32), x3 = i32x4.splat(0x6b206574);
  let x4 = k0, x5 = k1, x6 = k2, x7 = k3, x8 = k4, x9 = k5, x10 = k6, x11 = k7;
  let x12 = c, x13 = i32x4.splat(0), x14 = n1, x15 = n2;
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
  writeGroup(out, 0, i32x4.add(x0, i32x4.splat(0x61707865)), i32x4.add(x1, i32x4.splat(0x3320646e)), i32x4.add(x2, i32x4.splat(0x79622d32)), i32x4.add(x3, i32x4.splat(0x6b206574)), xor);
  writeGroup(out, 16, i32x4.add(x4, k0), i32x4.add(x5, k1), i32x4.add(x6, k2), i32x4.add(x7, k3), xor);
  writeGroup(out, 32, i32x4.add(x8, k4), i32x4.add(x9, k5), i32x4.add(x10, k6), i32x4.add(x11, k7), xor);
  writeGroup(out, 48, i32x4.add(x12, c), x13, i32x4.add(x14, n1), i32x4.add(x15, n2), xor);
}

// XORs `length` bytes of key stream at `stream` into `at`.
function xorBytes(at: usize, stream: usize, length: usize): void {
  let i: usize = 0;
  for (; i + 16 <= length; i += 16) v128.store(at + i, v128.xor(v128.load(at + i), v128.load(stream + i)));
  for (; i < length; i++) store<u8>(at + i, load<u8>(at + i) ^ load<u8>(stream + i));
}

// Applies the key stream from block 1 on. The blocks 0 to 3 lie in SCRATCH already.
function applyStream(job: usize, at: usize, length: usize): void {
  const head: usize = length < 192 ? length : 192;
  xorBytes(at, SCRATCH + 64, head);
  let done = head;
  let block: u32 = 4;
  for (; done + 256 <= length; done += 256, block += 4) blocks4(job, block, at + done, true);
  if (done < length) {
    blocks4(job, block, SCRATCH, false);
    xorBytes(at + done, SCRATCH, length - done);
  }
}

// Poly1305 over the ciphertext, zero-padded to 16, and the two lengths (no additional data). The key lies at `key`.
function poly1305(key: usize, at: usize, length: usize, tag: usize): void {
  const r0 = <u64>(load<u32>(key) & 0x0fffffff);
  const r1 = <u64>(load<u32>(key, 4) & 0x0ffffffc);
  const r2 = <u64>(load<u32>(key, 8) & 0x0ffffffc);
  const r3 = <u64>(load<u32>(key, 12) & 0x0ffffffc);
  const s1 = r1 + (r1 >> 2), s2 = r2 + (r2 >> 2), s3 = r3 + (r3 >> 2);
  const p0 = load<u64>(key, 16), p1 = load<u64>(key, 24);
  let h0: u64 = 0, h1: u64 = 0, h2: u64 = 0, h3: u64 = 0, h4: u64 = 0;
  const whole = length & ~15;
  const rest = length - whole;
  const end = at + whole;
  let stage = 0;
  let from = at;
  while (true) {
    if (from >= end && stage == 0) {
      // Behind the whole blocks: the padded rest, then the lengths.
      if (rest > 0) {
        store<u64>(LAST, 0);
        store<u64>(LAST, 0, 8);
        memory.copy(LAST, end, rest);
        from = LAST;
        stage = 1;
      } else {
        stage = 2;
      }
    } else if (stage == 1) {
      stage = 2;
    } else if (stage == 2) {
      stage = 3;
    }
    if (stage == 2) {
      store<u64>(LAST, 0);
      store<u64>(LAST, <u64>length, 8);
      from = LAST;
    } else if (stage == 3) {
      break;
    }
    h0 += <u64>load<u32>(from);
    h1 += <u64>load<u32>(from, 4);
    h2 += <u64>load<u32>(from, 8);
    h3 += <u64>load<u32>(from, 12);
    h4 += 1;
    // Carry, so that every limb but the last has 32 bits again.
    h1 += h0 >> 32; h0 &= 0xffffffff;
    h2 += h1 >> 32; h1 &= 0xffffffff;
    h3 += h2 >> 32; h2 &= 0xffffffff;
    h4 += h3 >> 32; h3 &= 0xffffffff;
    const d0 = h0 * r0 + h1 * s3 + h2 * s2 + h3 * s1;
    let d1 = h0 * r1 + h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1;
    let d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2;
    let d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3;
    let d4 = h4 * r0;
    // Reduce modulo 2^130 - 5.
    h0 = d0 & 0xffffffff; d1 += d0 >> 32;
    h1 = d1 & 0xffffffff; d2 += d1 >> 32;
    h2 = d2 & 0xffffffff; d3 += d2 >> 32;
    h3 = d3 & 0xffffffff; d4 += d3 >> 32;
    h4 = d4 & 3;
    h0 += (d4 >> 2) + (d4 & ~(<u64>3));
    if (stage == 0) from += 16;
  }
  h1 += h0 >> 32; h0 &= 0xffffffff;
  h2 += h1 >> 32; h1 &= 0xffffffff;
  h3 += h2 >> 32; h2 &= 0xffffffff;
  h4 += h3 >> 32; h3 &= 0xffffffff;
  // h mod p: subtract p when h >= p, without a branch.
  let g0 = h0 + 5, g1 = h1 + (g0 >> 32), g2 = h2 + (g1 >> 32), g3 = h3 + (g2 >> 32), g4 = h4 + (g3 >> 32);
  const mask: u64 = 0 - (g4 >> 2 & 1);
  h0 = (h0 & ~mask) | (g0 & 0xffffffff & mask);
  h1 = (h1 & ~mask) | (g1 & 0xffffffff & mask);
  h2 = (h2 & ~mask) | (g2 & 0xffffffff & mask);
  h3 = (h3 & ~mask) | (g3 & 0xffffffff & mask);
  // tag = h + s mod 2^128
  let low = h0 + (p0 & 0xffffffff);
  let t1 = h1 + (p0 >> 32) + (low >> 32);
  let t2 = h2 + (p1 & 0xffffffff) + (t1 >> 32);
  let t3 = h3 + (p1 >> 32) + (t2 >> 32);
  store<u32>(tag, <u32>low);
  store<u32>(tag, <u32>t1, 4);
  store<u32>(tag, <u32>t2, 8);
  store<u32>(tag, <u32>t3, 12);
}

export function seal(count: u32): void {
  for (let i: usize = 0; i < <usize>count; i++) {
    const job = i * JOB_BYTES;
    const at = <usize>load<u32>(job, 40);
    const length = <usize>load<u32>(job, 44);
    blocks4(job, 0, SCRATCH, false);
    const k0 = v128.load(SCRATCH), k1 = v128.load(SCRATCH, 16);
    applyStream(job, at, length);
    v128.store(SCRATCH, k0);
    v128.store(SCRATCH, k1, 16);
    poly1305(SCRATCH, at, length, at + length);
  }
  memory.fill(0, 0, <usize>count * JOB_BYTES);
  memory.fill(SCRATCH, 0, 320);
}

export function open(count: u32): void {
  for (let i: usize = 0; i < <usize>count; i++) {
    const job = i * JOB_BYTES;
    const at = <usize>load<u32>(job, 40);
    const length = <usize>load<u32>(job, 44);
    blocks4(job, 0, SCRATCH, false);
    poly1305(SCRATCH, at, length, TAG);
    const difference = v128.xor(v128.load(TAG), v128.load(at + length));
    if (v128.any_true(difference)) {
      memory.fill(at, 0, length + 16);
      store<u32>(job, 0, 48);
    } else {
      applyStream(job, at, length);
      store<u32>(job, 1, 48);
    }
  }
  for (let i: usize = 0; i < <usize>count; i++) memory.fill(i * JOB_BYTES, 0, 48);
  memory.fill(SCRATCH, 0, 320);
}

// Sum of big-endian 16-bit words, folded, not complemented.
export function checksum(at: usize, length: usize, initial: u32): u32 {
  let sum: u64 = 0;
  let i: usize = 0;
  if (length >= 64) {
    let a = i32x4.splat(0), b = i32x4.splat(0);
    const end = length & ~31;
    for (; i < end; i += 32) {
      a = i32x4.add(a, i32x4.extadd_pairwise_i16x8_u(v128.load(at + i)));
      b = i32x4.add(b, i32x4.extadd_pairwise_i16x8_u(v128.load(at + i, 16)));
    }
    const t = i64x2.add(i64x2.extend_low_i32x4_u(a), i64x2.extend_high_i32x4_u(a));
    const u = i64x2.add(i64x2.extend_low_i32x4_u(b), i64x2.extend_high_i32x4_u(b));
    const all = i64x2.add(t, u);
    sum = i64x2.extract_lane(all, 0) + i64x2.extract_lane(all, 1);
  }
  for (; i + 2 <= length; i += 2) sum += <u64>load<u16>(at + i);
  if (i < length) sum += <u64>load<u8>(at + i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  // Little-endian words were summed: RFC 1071 §2B lets the bytes be swapped at the end.
  let folded = ((sum & 0xff) << 8) | (sum >> 8);
  folded += <u64>initial;
  while (folded >> 16) folded = (folded & 0xffff) + (folded >> 16);
  return <u32>folded;
}
