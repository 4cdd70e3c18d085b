/** Files in memory, sparse: a file of 5 GiB takes only the memory of what was written to it. */
import { createHash } from "node:crypto";

/** The umask of both sides. */
export const UMASK = 0o022;
const USER = 1000;
const PAGE_BYTES = 4 * 1024;
const ZEROS = Buffer.alloc(PAGE_BYTES);

export class MemoryFile {
  readonly kind = "file";
  readonly #pages = new Map<number, Uint8Array>();
  size = 0;
  mode = 0o644;
  modifiedMs = 1_000;
  owner = USER;

  static of(content: string | Uint8Array, mode = 0o644): MemoryFile {
    const file = new MemoryFile();
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    file.write(0, bytes);
    file.mode = mode;
    return file;
  }

  write(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const [page, from] = [Math.floor((offset + at) / PAGE_BYTES), (offset + at) % PAGE_BYTES];
      let content = this.#pages.get(page);
      if (content === undefined) {
        content = new Uint8Array(PAGE_BYTES);
        this.#pages.set(page, content);
      }
      const count = Math.min(PAGE_BYTES - from, bytes.length - at);
      content.set(bytes.subarray(at, at + count), from);
      at += count;
    }
    this.size = Math.max(this.size, offset + bytes.length);
  }

  read(offset: number, target: Uint8Array): number {
    const total = Math.max(0, Math.min(target.length, this.size - offset));
    for (let at = 0; at < total; ) {
      const [page, from] = [Math.floor((offset + at) / PAGE_BYTES), (offset + at) % PAGE_BYTES];
      const count = Math.min(PAGE_BYTES - from, total - at);
      const content = this.#pages.get(page);
      if (content === undefined) target.fill(0, at, at + count);
      else target.set(content.subarray(from, from + count), at);
      at += count;
    }
    return total;
  }

  bytes(): Buffer {
    const all = Buffer.alloc(this.size);
    this.read(0, all);
    return all;
  }

  /** The same digest for the same content; holes cost nothing, so it is not SHA-256 of the bytes. */
  digest(bytes: number): string {
    const hash = createHash("sha256").update(`${Math.min(bytes, this.size)}`);
    for (const [page, content] of [...this.#pages].sort(([a], [b]) => a - b)) {
      const part = content.subarray(0, Math.max(0, bytes - page * PAGE_BYTES));
      const isHole = Buffer.compare(ZEROS.subarray(0, part.length), part) === 0;
      if (!isHole) hash.update(`${page}:`).update(part);
    }
    return hash.digest("hex");
  }
}

export class MemoryDirectory {
  readonly kind = "directory";
  readonly children = new Map<string, MemoryNode>();
  mode = 0o755;
}

/** A symbolic link to a path of the tree. */
export interface MemoryLink {
  readonly kind: "link";
  readonly target: string;
}

export class MemoryDevice {
  readonly kind = "device";
  mode = 0o666;
}

export type MemoryNode = MemoryFile | MemoryDirectory | MemoryLink | MemoryDevice;

export class MemoryTree {
  readonly root = new MemoryDirectory();
  readonly user = USER;

  /** Undefined when there is no such node. Follows links in the middle of a path, and one at its end unless `ownLink`. */
  find(path: string, ownLink = false, hops = 0): MemoryNode | undefined {
    let node: MemoryNode | undefined = this.root;
    const names = namesOf(path);
    for (const [index, name] of names.entries()) {
      if (node?.kind !== "directory") return undefined;
      node = node.children.get(name);
      if (node?.kind === "link" && !(ownLink && index === names.length - 1))
        node = hops > 20 ? undefined : this.find(node.target, false, hops + 1);
    }
    return node;
  }

  directory(path: string): MemoryDirectory | undefined {
    const found = this.find(path);
    return found?.kind === "directory" ? found : undefined;
  }

  file(path: string): MemoryFile | undefined {
    const found = this.find(path);
    return found?.kind === "file" ? found : undefined;
  }

  parent(path: string): MemoryDirectory | undefined {
    return this.directory(namesOf(path).slice(0, -1).join("/"));
  }

  /** Makes missing parent directories. */
  put(path: string, node: MemoryNode | string | Uint8Array): void {
    let folder = this.root;
    for (const name of namesOf(path).slice(0, -1)) {
      const next = folder.children.get(name) ?? new MemoryDirectory();
      if (next.kind !== "directory") throw new Error(`${name} is no directory`);
      folder.children.set(name, next);
      folder = next;
    }
    const made = typeof node === "string" || node instanceof Uint8Array ? MemoryFile.of(node) : node;
    folder.children.set(nameOf(path), made);
  }

  /** The paths of all files with their content as text, or its hash where it is long. */
  texts(folder = this.root, above = ""): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [name, node] of folder.children) {
      if (node.kind === "file") found[`${above}${name}`] = textOf(node);
      if (node.kind === "directory") Object.assign(found, this.texts(node, `${above}${name}/`));
    }
    return found;
  }
}

const LONGEST_TEXT = 1000;

function textOf(file: MemoryFile): string {
  if (file.size > LONGEST_TEXT) return createHash("sha256").update(file.bytes()).digest("hex");
  return file.bytes().toString("latin1");
}

export function nameOf(path: string): string {
  return namesOf(path).at(-1) ?? "";
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}
