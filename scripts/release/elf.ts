/** Edits a 64-bit little-endian ELF executable in place: nothing that is loaded moves. */

const SEGMENT = { load: 1, executable: 1 } as const;
const SECTION = { dynsym: 11, versym: 0x6fff_ffff, verneed: 0x6fff_fffe, dynamic: 6, noBits: 8 } as const;
const ALLOCATED = 2;
const DYNAMIC = { needed: 1n, verneedCount: 0x6fff_ffffn } as const;
const LOCAL_FUNCTION = 0x02;
const SECTION_BYTES = 64;
const SEGMENT_BYTES = 56;
const SYMBOL_BYTES = 24;
const DYNAMIC_BYTES = 16;
const CODE_ALIGNMENT = 16;

interface Section {
  readonly index: number;
  /** Offsets in its header. */
  readonly at: number;
  readonly name: string;
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  readonly size: number;
}

/**
 * Removes debug symbols and everything else that is not loaded, as the target platform's `strip` does. The header of
 * each loaded section stays.
 */
export function stripped(file: Buffer): Buffer {
  const sections = sectionsOf(file);
  const kept = sections.filter(({ flags, index }) => index === 0 || (flags & ALLOCATED) !== 0);
  if (kept.some(({ index }, position) => index !== position))
    throw new Error("an unloaded section precedes a loaded one");
  const ends = kept.map(({ offset, size, type }) => (type === SECTION.noBits ? 0 : offset + size));
  const loaded = Math.max(...ends, ...segmentsOf(file).map(({ offset, fileBytes }) => offset + fileBytes));
  const names = Buffer.from(`${kept.map(({ name }) => name).join("\0")}\0.shstrtab\0`);
  const nameAt = (index: number): number =>
    kept.slice(0, index).reduce((sum, { name }) => sum + Buffer.byteLength(name) + 1, 0);
  const tableAt = align(loaded + names.length, 8);
  const result = Buffer.alloc(tableAt + (kept.length + 1) * SECTION_BYTES);
  file.copy(result, 0, 0, loaded);
  names.copy(result, loaded);
  for (const { at, index } of kept) {
    file.copy(result, tableAt + index * SECTION_BYTES, at, at + SECTION_BYTES);
    result.writeUInt32LE(nameAt(index), tableAt + index * SECTION_BYTES);
  }
  const own = tableAt + kept.length * SECTION_BYTES;
  result.writeUInt32LE(nameAt(kept.length), own);
  result.writeUInt32LE(3, own + 4); // a string table
  result.writeBigUInt64LE(BigInt(loaded), own + 24);
  result.writeBigUInt64LE(BigInt(names.length), own + 32);
  result.writeBigUInt64LE(1n, own + 48);
  result.writeBigUInt64LE(BigInt(tableAt), 40);
  result.writeUInt16LE(kept.length + 1, 60);
  result.writeUInt16LE(kept.length, 62);
  return result;
}

/**
 * Embeds the code of the only function used from a library, and removes the dependency on the library. The code goes
 * behind the last byte of the executable segment, where the rest of its page is mapped anyway; the symbol becomes a
 * local one, which the loader resolves without a search.
 */
export function embedFunction(
  file: Buffer,
  { library, symbol, code }: { readonly library: string; readonly symbol: string; readonly code: Uint8Array },
): void {
  const sections = sectionsOf(file);
  const of = (type: number): Section => only(sections, (section) => section.type === type, `type ${type}`);
  const [dynsym, versym, verneed, dynamic] = [
    of(SECTION.dynsym),
    of(SECTION.versym),
    of(SECTION.verneed),
    of(SECTION.dynamic),
  ];
  const strings = only(sections, ({ name }) => name === ".dynstr", ".dynstr");
  const text = only(sections, ({ name }) => name === ".text", ".text");
  const stringAt = (at: number): string => cString(file, strings.offset + at);
  const version = forget(file, verneed, library, stringAt);

  const count = dynsym.size / SYMBOL_BYTES;
  const imports = Array.from({ length: count }, (_, index) => index).filter(
    (index) => (file.readUInt16LE(versym.offset + index * 2) & 0x7fff) === version,
  );
  const [index, ...more] = imports;
  const at = dynsym.offset + (index ?? 0) * SYMBOL_BYTES;
  if (index === undefined || more.length > 0 || stringAt(file.readUInt32LE(at)) !== symbol)
    throw new Error(`${library} is needed for more than ${symbol}`);
  file.writeUInt8(LOCAL_FUNCTION, at + 4);
  file.writeUInt16LE(text.index, at + 6);
  file.writeBigUInt64LE(addCode(file, code), at + 8);
  file.writeBigUInt64LE(BigInt(code.length), at + 16);
  file.writeUInt16LE(0, versym.offset + index * 2); // local
  unlink(file, dynamic, library, stringAt);
  file.writeUInt32LE(file.readUInt32LE(verneed.at + 44) - 1, verneed.at + 44);
}

/** The symbol versions that a file needs, by library: `GLIBC_2.28` of `libc.so.6`. */
export function neededVersions(file: Buffer): ReadonlyMap<string, readonly string[]> {
  const sections = sectionsOf(file);
  const needed = new Map<string, string[]>();
  const verneed = sections.find(({ type }) => type === SECTION.verneed);
  if (verneed === undefined) return needed;
  const strings = only(sections, ({ name }) => name === ".dynstr", ".dynstr");
  const stringAt = (at: number): string => cString(file, strings.offset + file.readUInt32LE(at));
  for (let at = verneed.offset, next = -1; next !== 0; at += next) {
    const versions: string[] = [];
    let one = at + file.readUInt32LE(at + 8);
    for (let left = file.readUInt16LE(at + 2); left > 0; left--) {
      versions.push(stringAt(one + 8));
      one += file.readUInt32LE(one + 12);
    }
    needed.set(stringAt(at + 4), versions);
    next = file.readUInt32LE(at + 12);
  }
  return needed;
}

/** The minor number of the newest `GLIBC_2.x` that the file needs; 0 when it needs none. */
export function newestGlibc(file: Buffer): number {
  const versions = [...neededVersions(file).values()].flat();
  return Math.max(0, ...versions.map((version) => Number(/^GLIBC_2\.(\d+)/.exec(version)?.[1] ?? 0)));
}

/** @returns the code of a relocatable file, which must not refer to anything outside it. */
export function codeOf(object: Buffer): Buffer {
  const sections = sectionsOf(object);
  const text = only(sections, ({ name }) => name === ".text", ".text");
  if (sections.some(({ name }) => name === ".rela.text")) throw new Error("the code has relocations");
  return object.subarray(text.offset, text.offset + text.size);
}

/** @returns the address of the embedded code. */
function addCode(file: Buffer, code: Uint8Array): bigint {
  const segments = segmentsOf(file);
  const segment = segments.find(({ type, flags }) => type === SEGMENT.load && (flags & SEGMENT.executable) !== 0);
  if (segment === undefined) throw new Error("there is no segment of code");
  const end = segment.offset + segment.fileBytes;
  const start = align(end, CODE_ALIGNMENT);
  const next = Math.min(
    ...segments.filter(({ type, offset }) => type === SEGMENT.load && offset >= end).map((one) => one.offset),
  );
  if (start + code.length > next || file.subarray(end, start + code.length).some((byte) => byte !== 0))
    throw new Error("there is no room behind the code");
  file.set(code, start);
  const bytes = BigInt(start + code.length - segment.offset);
  file.writeBigUInt64LE(bytes, segment.at + 32);
  file.writeBigUInt64LE(bytes, segment.at + 40);
  return segment.address + BigInt(start - segment.offset);
}

/** Removes a library from the list of needed versions. @returns the number of its one version. */
function forget(file: Buffer, verneed: Section, library: string, stringAt: (at: number) => string): number {
  let before: number | undefined;
  for (let at = verneed.offset; ; ) {
    const next = file.readUInt32LE(at + 12);
    if (stringAt(file.readUInt32LE(at + 4)) !== library) {
      if (next === 0) throw new Error(`no version of ${library} is needed`);
      before = at;
      at += next;
      continue;
    }
    if (file.readUInt16LE(at + 2) !== 1) throw new Error(`more than one version of ${library} is needed`);
    const version = file.readUInt16LE(at + file.readUInt32LE(at + 8) + 6);
    if (before !== undefined) file.writeUInt32LE(next === 0 ? 0 : at + next - before, before + 12);
    else skipFirst(file, at, next);
    return version;
  }
}

/** The list begins with the library: the next entry overwrites it, its versions stay in place. */
function skipFirst(file: Buffer, at: number, next: number): void {
  if (next === 0) throw new Error("no other version is needed");
  const following = at + next;
  file.copy(file, at, following, following + 16);
  file.writeUInt32LE(file.readUInt32LE(at + 8) + next, at + 8);
  if (file.readUInt32LE(at + 12) !== 0) file.writeUInt32LE(file.readUInt32LE(at + 12) + next, at + 12);
}

function unlink(file: Buffer, dynamic: Section, library: string, stringAt: (at: number) => string): void {
  const end = dynamic.offset + dynamic.size;
  let found = false;
  for (let at = dynamic.offset; at < end; at += DYNAMIC_BYTES) {
    const tag = file.readBigUInt64LE(at);
    const value = file.readBigUInt64LE(at + 8);
    if (tag === DYNAMIC.verneedCount) file.writeBigUInt64LE(value - 1n, at + 8);
    if (found || tag !== DYNAMIC.needed || stringAt(Number(value)) !== library) continue;
    found = true;
    file.copy(file, at, at + DYNAMIC_BYTES, end);
    file.fill(0, end - DYNAMIC_BYTES, end);
    at -= DYNAMIC_BYTES;
  }
  if (!found) throw new Error(`${library} is not needed`);
}

function sectionsOf(file: Buffer): readonly Section[] {
  if (file.readUInt32BE(0) !== 0x7f45_4c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error("not a 64-bit little-endian ELF file");
  const table = Number(file.readBigUInt64LE(40));
  const names = Number(file.readBigUInt64LE(table + file.readUInt16LE(62) * SECTION_BYTES + 24));
  return Array.from({ length: file.readUInt16LE(60) }, (_, index) => {
    const at = table + index * SECTION_BYTES;
    return {
      index,
      at,
      name: cString(file, names + file.readUInt32LE(at)),
      type: file.readUInt32LE(at + 4),
      flags: Number(file.readBigUInt64LE(at + 8)),
      offset: Number(file.readBigUInt64LE(at + 24)),
      size: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function segmentsOf(file: Buffer) {
  const table = Number(file.readBigUInt64LE(32));
  return Array.from({ length: file.readUInt16LE(56) }, (_, index) => {
    const at = table + index * SEGMENT_BYTES;
    return {
      at,
      type: file.readUInt32LE(at),
      flags: file.readUInt32LE(at + 4),
      offset: Number(file.readBigUInt64LE(at + 8)),
      address: file.readBigUInt64LE(at + 16),
      fileBytes: Number(file.readBigUInt64LE(at + 32)),
    };
  });
}

function only(sections: readonly Section[], matches: (section: Section) => boolean, what: string): Section {
  const [found, ...more] = sections.filter(matches);
  if (found === undefined || more.length > 0) throw new Error(`there is not exactly one section ${what}`);
  return found;
}

function cString(file: Buffer, at: number): string {
  return file.toString("latin1", at, file.indexOf(0, at));
}

function align(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
