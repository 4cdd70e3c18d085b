/** What a request touches, read before it is handled: it decides on which file systems the request may have to wait. */
import { FieldReader, REQUEST } from "./codec.ts";

export interface Touched {
  /** As in the packet: absolute, or relative to where paths start. They alias the packet. */
  readonly paths: readonly Buffer[];
  /** Handles as in the packet. */
  readonly handles: readonly Buffer[];
}

const NOTHING: Touched = { paths: [], handles: [] };

/** @param packet A request without its length. What it lacks is left out. */
export function touchedBy(packet: Buffer): Touched {
  const reader = new FieldReader(packet);
  const type = reader.u8();
  reader.u32();
  const strings = (count: number): readonly Buffer[] => {
    const found = Array.from({ length: count }, () => reader.string());
    return reader.failed ? [] : found;
  };
  const paths = (count: number): Touched => ({ paths: strings(count), handles: [] });
  switch (type) {
    case REQUEST.close:
    case REQUEST.read:
    case REQUEST.write:
    case REQUEST.fstat:
    case REQUEST.fsetstat:
    case REQUEST.readdir:
      return { paths: [], handles: strings(1) };
    case REQUEST.open:
    case REQUEST.lstat:
    case REQUEST.stat:
    case REQUEST.setstat:
    case REQUEST.opendir:
    case REQUEST.remove:
    case REQUEST.mkdir:
    case REQUEST.rmdir:
    case REQUEST.realpath:
    case REQUEST.readlink:
      return paths(1);
    case REQUEST.rename:
      return paths(2);
    case REQUEST.symlink:
      return { paths: strings(2).slice(1), handles: [] }; // the target is only a text
    case REQUEST.extended:
      return touchedByExtension(reader.string().toString("latin1"), reader);
    default:
      return NOTHING;
  }
}

function touchedByExtension(name: string, reader: FieldReader): Touched {
  const first = reader.string();
  if (reader.failed) return NOTHING;
  switch (name) {
    case "posix-rename@openssh.com":
    case "hardlink@openssh.com": {
      const second = reader.string();
      return { paths: reader.failed ? [first] : [first, second], handles: [] };
    }
    case "lsetstat@openssh.com":
    case "statvfs@openssh.com":
    case "expand-path@openssh.com":
      return { paths: [first], handles: [] };
    case "fsync@openssh.com":
    case "fstatvfs@openssh.com":
      return { paths: [], handles: [first] };
    case "copy-data": {
      reader.u64();
      reader.u64();
      const second = reader.string();
      return { paths: [], handles: reader.failed ? [first] : [first, second] };
    }
    default:
      return NOTHING;
  }
}
