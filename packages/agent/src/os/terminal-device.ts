/** A terminal of this machine, by descriptor: both ends of a new one, or one that a program already has. */
import { closeSync, constants, openSync } from "node:fs";
import { libc } from "./libc.ts";
import { applyModes, attributeLayout, modesOf, type TerminalModes } from "./termios.ts";

export interface WindowSize {
  readonly columns: number;
  readonly rows: number;
  /** Size of the whole window in pixels; 0 or absent when unknown. */
  readonly pixelWidth?: number;
  readonly pixelHeight?: number;
}

const DEFAULT_SIZE = { columns: 80, rows: 24 };
/** The kernel keeps 16 bits; nothing sensible is larger than this. */
const MAX_CELLS = 10_000;
const MAX_PIXELS = 0xffff;
const layout = attributeLayout(process.platform, process.arch);

/** Out-of-range sizes become the nearest sensible one; zero means unknown. */
export function clampSize(size: WindowSize): WindowSize {
  const { pixelWidth = 0, pixelHeight = 0 } = size;
  return {
    columns: clampCells(size.columns, DEFAULT_SIZE.columns),
    rows: clampCells(size.rows, DEFAULT_SIZE.rows),
    pixelWidth: pixelWidth > MAX_PIXELS ? 0 : pixelWidth,
    pixelHeight: pixelHeight > MAX_PIXELS ? 0 : pixelHeight,
  };
}

/** A new terminal: a master end for us, and a device for programs. */
export class TerminalDevice {
  /** For example `/dev/pts/3`. */
  readonly name: string;
  readonly master: number;
  /** The programs' end, opened so that it does not become our controlling terminal. */
  readonly program: number;
  #ownsMaster = true;
  #programOpen = true;

  /** Throws a system error when this machine cannot create a terminal now. */
  constructor() {
    const library = libc();
    if (library instanceof Error) throw library;
    const { master, device } = library.openTerminal();
    this.master = master;
    this.name = device;
    try {
      this.program = openSync(device, constants.O_RDWR | constants.O_NOCTTY);
    } catch (error) {
      closeSync(master);
      throw error;
    }
  }

  /** Works only while the master is open. */
  resize(size: WindowSize): void {
    const library = libc();
    if (library instanceof Error || layout === undefined) return;
    const { columns, rows, pixelWidth = 0, pixelHeight = 0 } = clampSize(size);
    const window = Uint16Array.of(rows, columns, pixelWidth, pixelHeight);
    library.ioctl(this.master, layout.writeWindow, new Uint8Array(window.buffer));
  }

  /** Throws when the kernel refuses them. */
  setModes(modes: TerminalModes): void {
    const library = libc();
    if (library instanceof Error || layout === undefined) return;
    const record = new Uint8Array(layout.bytes);
    library.ioctl(this.program, layout.read, record);
    applyModes(record, modes, layout);
    library.ioctl(this.program, layout.write, record);
  }

  /** Leaves closing the master's descriptor to the caller. */
  releaseMaster(): void {
    this.#ownsMaster = false;
  }

  /** Like {@link Libc.isHungUp}. Works only while the master is open. */
  get isHungUp(): boolean | undefined {
    const library = libc();
    return library instanceof Error ? undefined : library.isHungUp(this.master);
  }

  closeProgramSide(): void {
    if (this.#programOpen) closeSync(this.program);
    this.#programOpen = false;
  }

  close(): void {
    this.closeProgramSide();
    if (this.#ownsMaster) closeSync(this.master);
    this.#ownsMaster = false;
  }
}

/** Modes of an open terminal; undefined when the descriptor is not a terminal, or the platform is not supported. */
export function terminalModes(descriptor: number): TerminalModes | undefined {
  const record = attributesOf(descriptor);
  return record === undefined || layout === undefined ? undefined : modesOf(record, layout);
}

/**
 * Has the terminal show bytes as they are, for example a line feed without a carriage return. Node's raw mode is about input
 * alone, and its end restores this too. Does nothing where {@link terminalModes} knows nothing.
 */
export function showUnchanged(descriptor: number): void {
  const library = libc();
  const record = attributesOf(descriptor);
  if (record === undefined || layout === undefined || library instanceof Error) return;
  applyModes(record, { OPOST: 0 }, layout);
  library.ioctl(descriptor, layout.write, record);
}

/** Size of a terminal's window in pixels, 0 × 0 where it is unknown. */
export function windowPixels(descriptor: number): { readonly width: number; readonly height: number } {
  const library = libc();
  const window = new Uint16Array(4);
  if (layout === undefined || library instanceof Error) return { width: 0, height: 0 };
  try {
    library.ioctl(descriptor, layout.readWindow, new Uint8Array(window.buffer));
  } catch {
    return { width: 0, height: 0 }; // ENOTTY
  }
  const [, , width = 0, height = 0] = window;
  return { width, height };
}

function attributesOf(descriptor: number): Uint8Array | undefined {
  const library = libc();
  if (library instanceof Error || layout === undefined) return undefined;
  const record = new Uint8Array(layout.bytes);
  try {
    library.ioctl(descriptor, layout.read, record);
  } catch {
    return undefined; // ENOTTY
  }
  return record;
}

function clampCells(cells: number, unknown: number): number {
  return cells === 0 ? unknown : Math.min(Math.max(Math.trunc(cells), 1), MAX_CELLS);
}
