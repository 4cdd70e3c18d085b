/** Files in the formats of other systems, for tests: headers with arbitrary content. */

export function peFile(machine: number, subsystem: number, options: { magic?: number; content?: string } = {}): Buffer {
  const { magic = 0x20b, content = "" } = options;
  const file = Buffer.alloc(256);
  file.write("MZ", 0, "latin1");
  file.writeUInt32LE(0x80, 0x3c);
  file.write("PE\0\0", 0x80, "latin1");
  file.writeUInt16LE(machine, 0x84);
  file.writeUInt16LE(magic, 0x98);
  file.writeUInt16LE(subsystem, 0x98 + 68);
  return Buffer.concat([file, Buffer.from(content)]);
}

export function machFile(processor: number, content = ""): Buffer {
  const file = Buffer.alloc(32);
  file.writeUInt32LE(0xfeedfacf, 0);
  file.writeUInt32LE(processor, 4);
  return Buffer.concat([file, Buffer.from(content)]);
}
