/** Reads executables that this machine cannot run: enough of their format to see that a system will start them. */

const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2:";
const PE_OFFSET_AT = 0x3c;
const PE_HEADER_BYTES = 24;
const PE32_PLUS = 0x20b;
const SUBSYSTEM_AT = 68;

export interface WindowsFacts {
  readonly machine: "x64" | "arm64" | "other";
  /** A prompt waits for a console program to end, but not for a graphical one. */
  readonly subsystem: "console" | "graphical" | "other";
}

/** Facts about a 64-bit PE file (Microsoft's PE format, "Optional Header"). Throws for others. */
export function windowsFacts(file: Buffer): WindowsFacts {
  if (file.length < PE_OFFSET_AT + 4 || file.toString("latin1", 0, 2) !== "MZ") throw new Error("it is no PE file");
  const header = file.readUInt32LE(PE_OFFSET_AT);
  const optional = header + PE_HEADER_BYTES;
  if (file.length < optional + SUBSYSTEM_AT + 2 || file.toString("latin1", header, header + 4) !== "PE\0\0")
    throw new Error("it has no PE header");
  if (file.readUInt16LE(optional) !== PE32_PLUS) throw new Error("it is not a 64-bit PE file");
  const machine = ({ 34404: "x64", 43620: "arm64" } as const)[file.readUInt16LE(header + 4)];
  const subsystem = ({ 3: "console", 2: "graphical" } as const)[file.readUInt16LE(optional + SUBSYSTEM_AT)];
  return { machine: machine ?? "other", subsystem: subsystem ?? "other" };
}

/** The processor of a 64-bit Mach-O executable (mach-o/loader.h). Throws for others. */
export function macProcessor(file: Buffer): "x64" | "arm64" | "other" {
  if (file.length < 8 || file.readUInt32LE(0) !== 0xfeedfacf) throw new Error("it is not a 64-bit Mach-O file");
  return ({ 16777223: "x64", 16777228: "arm64" } as const)[file.readUInt32LE(4)] ?? "other";
}

/** The processor of a 64-bit little-endian ELF file. Throws for others. */
export function linuxProcessor(file: Buffer): "x64" | "arm64" | "other" {
  if (file.length < 20 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error("it is not a 64-bit little-endian ELF file");
  return ({ 62: "x64", 183: "arm64" } as const)[file.readUInt16LE(18)] ?? "other";
}

/** The state of Node's mark for single executables, wherever it is: "1" where the program inside is started, "0" in plain Node. */
export function fuses(file: Buffer): string[] {
  const found: string[] = [];
  for (let at = file.indexOf(FUSE); at !== -1; at = file.indexOf(FUSE, at + 1))
    found.push(file.toString("latin1", at + FUSE.length, at + FUSE.length + 1));
  return found;
}
