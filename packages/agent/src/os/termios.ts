/**
 * Terminal modes as SSH encodes them (RFC 4254 §8, RFC 8160) to and from the kernel's attribute records. Pure: records are bytes.
 * Linux (x64, arm, arm64, riscv64): four flag words of 32 bits, a line discipline, 19 characters. macOS: four flag words of 64
 * bits, 20 characters, padding, two speeds of 64 bits.
 */

/** Values by the names that RFC 4254 §8 gives the opcodes. */
export type TerminalModes = Readonly<Record<string, number>>;

type FlagWord = "input" | "output" | "control" | "local";

interface Layout {
  readonly bytes: number;
  /** ioctl requests that read and write the attributes, and the window size. */
  readonly read: number;
  readonly write: number;
  readonly readWindow: number;
  readonly writeWindow: number;
  readonly wordBytes: 4 | 8;
  readonly charactersAt: number;
  /** The kernel's value for a disabled character; SSH writes 255. */
  readonly disabled: number;
  readonly characters: Readonly<Record<string, number>>;
  readonly flags: Readonly<Record<FlagWord, Readonly<Record<string, number>>>>;
  /** Bits of the control word. */
  readonly sizeMask: number;
}

const WORDS: readonly FlagWord[] = ["input", "output", "control", "local"];
const SSH_DISABLED = 255;

const LINUX: Layout = {
  bytes: 36,
  read: 0x5401,
  write: 0x5402,
  readWindow: 0x5413,
  writeWindow: 0x5414,
  wordBytes: 4,
  charactersAt: 17,
  disabled: 0,
  characters: {
    VINTR: 0,
    VQUIT: 1,
    VERASE: 2,
    VKILL: 3,
    VEOF: 4,
    VSWTCH: 7,
    VSTART: 8,
    VSTOP: 9,
    VSUSP: 10,
    VEOL: 11,
    VREPRINT: 12,
    VDISCARD: 13,
    VWERASE: 14,
    VLNEXT: 15,
    VEOL2: 16,
  },
  flags: {
    input: {
      IGNPAR: 0x4,
      PARMRK: 0x8,
      INPCK: 0x10,
      ISTRIP: 0x20,
      INLCR: 0x40,
      IGNCR: 0x80,
      ICRNL: 0x100,
      IUCLC: 0x200,
      IXON: 0x400,
      IXANY: 0x800,
      IXOFF: 0x1000,
      IMAXBEL: 0x2000,
      IUTF8: 0x4000,
    },
    output: { OPOST: 0x1, OLCUC: 0x2, ONLCR: 0x4, OCRNL: 0x8, ONOCR: 0x10, ONLRET: 0x20 },
    control: { CS7: 0x20, CS8: 0x30, PARENB: 0x100, PARODD: 0x200 },
    local: {
      ISIG: 0x1,
      ICANON: 0x2,
      XCASE: 0x4,
      ECHO: 0x8,
      ECHOE: 0x10,
      ECHOK: 0x20,
      ECHONL: 0x40,
      NOFLSH: 0x80,
      TOSTOP: 0x100,
      ECHOCTL: 0x200,
      ECHOKE: 0x800,
      PENDIN: 0x4000,
      IEXTEN: 0x8000,
    },
  },
  sizeMask: 0x30,
};

const MACOS: Layout = {
  bytes: 72,
  read: 0x40487413,
  write: 0x80487414,
  readWindow: 0x40087468,
  writeWindow: 0x80087467,
  wordBytes: 8,
  charactersAt: 32,
  disabled: 0xff,
  characters: {
    VEOF: 0,
    VEOL: 1,
    VEOL2: 2,
    VERASE: 3,
    VWERASE: 4,
    VKILL: 5,
    VREPRINT: 6,
    VINTR: 8,
    VQUIT: 9,
    VSUSP: 10,
    VDSUSP: 11,
    VSTART: 12,
    VSTOP: 13,
    VLNEXT: 14,
    VDISCARD: 15,
    VSTATUS: 18,
  },
  flags: {
    input: {
      IGNPAR: 0x4,
      PARMRK: 0x8,
      INPCK: 0x10,
      ISTRIP: 0x20,
      INLCR: 0x40,
      IGNCR: 0x80,
      ICRNL: 0x100,
      IXON: 0x200,
      IXOFF: 0x400,
      IXANY: 0x800,
      IMAXBEL: 0x2000,
      IUTF8: 0x4000,
    },
    output: { OPOST: 0x1, ONLCR: 0x2, OCRNL: 0x10, ONOCR: 0x20, ONLRET: 0x40 },
    control: { CS7: 0x200, CS8: 0x300, PARENB: 0x1000, PARODD: 0x2000 },
    local: {
      ECHOKE: 0x1,
      ECHOE: 0x2,
      ECHOK: 0x4,
      ECHO: 0x8,
      ECHONL: 0x10,
      ECHOCTL: 0x40,
      ISIG: 0x80,
      ICANON: 0x100,
      IEXTEN: 0x400,
      TOSTOP: 0x400000,
      PENDIN: 0x20000000,
      NOFLSH: 0x80000000,
    },
  },
  sizeMask: 0x300,
};

/** Linux keeps a code in the control word: the index in this list, with bit 0x1000 from the sixteenth on. */
const LINUX_SPEEDS = [
  ...[0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400],
  ...[57600, 115200, 230400, 460800, 500000, 576000, 921600, 1000000],
  ...[1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000],
];
const LINUX_SPEED_MASK = 0x100f;
const LINUX_INPUT_SHIFT = 16;
const MACOS_SPEEDS_AT = 56;

/** The record layout of this platform; undefined where it is not supported. */
export function attributeLayout(platform: NodeJS.Platform, architecture: NodeJS.Architecture): Layout | undefined {
  if (platform === "darwin") return MACOS;
  return platform === "linux" && ["x64", "arm64", "arm", "ia32", "riscv64", "loong64"].includes(architecture)
    ? LINUX
    : undefined;
}

/** Changes a record in place. Modes that the platform does not have are skipped, as in sshd. */
export function applyModes(record: Uint8Array, modes: TerminalModes, layout: Layout): void {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  for (const [name, index] of Object.entries(layout.characters)) {
    const value = modes[name];
    if (value === undefined) continue;
    record[layout.charactersAt + index] = value === SSH_DISABLED ? layout.disabled : value & 0xff;
  }
  for (const word of WORDS) {
    let bits = readWord(view, layout, word);
    for (const [name, mask] of Object.entries(layout.flags[word])) {
      if (modes[name] === undefined || name === "CS7" || name === "CS8") continue;
      bits = modes[name] === 0 ? bits & ~mask : bits | mask;
    }
    writeWord(view, layout, word, bits);
  }
  const { CS7 = 0, CS8 = 0 } = layout.flags.control;
  const size = modes["CS8"] ? CS8 : modes["CS7"] ? CS7 : undefined;
  if (size !== undefined) {
    writeWord(view, layout, "control", (readWord(view, layout, "control") & ~layout.sizeMask) | size);
  }
  const { TTY_OP_ISPEED: input, TTY_OP_OSPEED: output } = modes;
  if (layout === LINUX) applyLinuxSpeeds(view, input, output);
  else {
    if (input !== undefined) view.setBigUint64(MACOS_SPEEDS_AT, BigInt(input), true);
    if (output !== undefined) view.setBigUint64(MACOS_SPEEDS_AT + 8, BigInt(output), true);
  }
}

/** All modes that the platform has. */
export function modesOf(record: Uint8Array, layout: Layout): TerminalModes {
  const view = new DataView(record.buffer, record.byteOffset, record.byteLength);
  const modes: Record<string, number> = {};
  for (const [name, index] of Object.entries(layout.characters)) {
    const value = record[layout.charactersAt + index]!;
    modes[name] = value === layout.disabled ? SSH_DISABLED : value;
  }
  for (const word of WORDS) {
    const bits = readWord(view, layout, word);
    for (const [name, mask] of Object.entries(layout.flags[word])) modes[name] = (bits & mask) === 0 ? 0 : 1;
  }
  const size = readWord(view, layout, "control") & layout.sizeMask;
  modes["CS8"] = size === layout.flags.control["CS8"] ? 1 : 0;
  // As OpenSSH encodes them: a server that clears the bits of modes sent as 0 still has 8 bits.
  modes["CS7"] = modes["CS8"] === 1 || size === layout.flags.control["CS7"] ? 1 : 0;
  if (layout === LINUX) {
    const control = readWord(view, layout, "control");
    const output = linuxSpeed(control);
    modes["TTY_OP_OSPEED"] = output;
    modes["TTY_OP_ISPEED"] = linuxSpeed(control >>> LINUX_INPUT_SHIFT) || output;
  } else {
    modes["TTY_OP_ISPEED"] = Number(view.getBigUint64(MACOS_SPEEDS_AT, true));
    modes["TTY_OP_OSPEED"] = Number(view.getBigUint64(MACOS_SPEEDS_AT + 8, true));
  }
  return modes;
}

function applyLinuxSpeeds(view: DataView, input: number | undefined, output: number | undefined): void {
  let control = readWord(view, LINUX, "control");
  const outputCode = linuxSpeedCode(output ?? input);
  if (outputCode !== undefined) {
    control &= ~(LINUX_SPEED_MASK | (LINUX_SPEED_MASK << LINUX_INPUT_SHIFT));
    control |= outputCode;
    const inputCode = linuxSpeedCode(input);
    // An input speed of 0 means the output speed.
    if (inputCode !== undefined && inputCode !== outputCode) control |= inputCode << LINUX_INPUT_SHIFT;
  }
  writeWord(view, LINUX, "control", control);
}

/** Undefined for a speed without a kernel code. */
function linuxSpeedCode(speed: number | undefined): number | undefined {
  const place = LINUX_SPEEDS.indexOf(speed ?? -1);
  if (place < 0) return undefined;
  return place < 16 ? place : 0x1000 | (place - 15);
}

function linuxSpeed(control: number): number {
  const code = control & LINUX_SPEED_MASK;
  return LINUX_SPEEDS[code < 16 ? code : (code & 0xf) + 15] ?? 0;
}

function readWord(view: DataView, layout: Layout, word: FlagWord): number {
  return view.getUint32(WORDS.indexOf(word) * layout.wordBytes, true);
}

function writeWord(view: DataView, layout: Layout, word: FlagWord, bits: number): void {
  view.setUint32(WORDS.indexOf(word) * layout.wordBytes, bits >>> 0, true);
}
